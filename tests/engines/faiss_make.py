"""Makes FAISS index files of every kind with the real library, and what it reconstructs from them as the truth.

usage: python faiss_make.py DIR [--seed N] [--rows N]

DIR must not exist. For each index: DIR/NAME.faiss; for those that hold vectors DIR/NAME.ids.npy (int64) and DIR/NAME.npy (float32, or uint8
rows of packed bits), row by row what `reconstruct` answers for that id, from the index that was read back. DIR/kinds.json says of each NAME:

| key | value |
|---|---|
| `read` | `exact`: the stored values; `lossy`: approximations or transformed vectors; `refused`: not to be read |
| `dim` | elements of a stored vector |
| `element` | f32, f16, bf16, u8, i8 or bits |
| `metric` | dot, l2, l1, hamming, or null where it has another name |
| `normalised` | true for vectors that were brought to unit length |
"""

import argparse
import json
import os

import faiss
import numpy

DIM = 24
BITS = 64
LISTS = 8
SQ = faiss.ScalarQuantizer
METRICS = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "l2", faiss.METRIC_L1: "l1"}


class Maker:
    def __init__(self, directory, seed, rows):
        self.directory = directory
        self.random = numpy.random.default_rng(seed)
        self.rows = rows
        self.x = self.random.standard_normal((rows, DIM), dtype=numpy.float32)
        self.x[0] = 0
        self.x[1, :4] = [1e-42, -0.0, 3.4e38, 1.17549435e-38]
        # Ordinary vectors, for what is trained or narrowed.
        self.plain = self.random.standard_normal((rows, DIM), dtype=numpy.float32)
        self.bytes = self.random.integers(0, 256, (rows, DIM)).astype(numpy.float32)
        self.bits = self.random.integers(0, 256, (rows, BITS // 8), dtype=numpy.uint8)
        self.ids = self.random.choice(2**62, rows, replace=False).astype(numpy.int64)
        self.ids[:3] = [2**63 - 1, -5, 0]
        self.kinds = {}

    def path(self, name):
        return os.path.join(self.directory, name)

    def numbers(self):
        return numpy.arange(self.rows, dtype=numpy.int64)

    def write(self, name, index, read, **facts):
        binary = isinstance(index, faiss.IndexBinary)
        (faiss.write_index_binary if binary else faiss.write_index)(index, self.path(f"{name}.faiss"))
        facts = {"element": "bits" if binary else "f32", "metric": "hamming" if binary else METRICS.get(index.metric_type), **facts}
        self.kinds[name] = {"read": read, "dim": index.d, "normalised": False, **facts}
        return (faiss.read_index_binary if binary else faiss.read_index)(self.path(f"{name}.faiss"))

    def truth(self, name, ids, vectors):
        numpy.save(self.path(f"{name}.ids.npy"), numpy.ascontiguousarray(ids, dtype=numpy.int64))
        numpy.save(self.path(f"{name}.npy"), numpy.ascontiguousarray(vectors))

    def rowwise(self, name, index, ids=None, inner=lambda index: index, read="exact", **facts):
        """An index whose rows are numbered; `inner` is the one that holds the vectors."""
        again = self.write(name, index, read, **facts)
        # The outer index owns the inner one: both must live.
        holder = inner(again)
        vectors = holder.reconstruct_n(0, again.ntotal)
        self.truth(name, numpy.arange(again.ntotal) if ids is None else ids, vectors)

    def by_lists(self, name, index, read="exact", **facts):
        """Inverted lists: the truth comes through a map from id to place that is made after writing."""
        again = self.write(name, index, read, **facts)
        holder = again if isinstance(again, faiss.IndexBinary) else faiss.extract_index_ivf(again)
        ids = numpy.concatenate([list_ids(holder, number) for number in range(holder.nlist)])
        holder.set_direct_map_type(faiss.DirectMap.Hashtable)
        vectors = [holder.reconstruct(int(one)) for one in ids]
        self.truth(name, ids, numpy.array(vectors).reshape(len(ids), -1))

    def refused(self, name, index):
        self.write(name, index, "refused")


def list_ids(index, number):
    return faiss.rev_swig_ptr(index.invlists.get_ids(number), index.invlists.list_size(number)).copy()


def inner(index):
    return faiss.downcast_index(index.index)


def trained(factory, vectors, metric=faiss.METRIC_L2, add=True):
    index = faiss.index_factory(vectors.shape[1], factory, metric)
    index.train(vectors)
    if add:
        index.add(vectors)
    return index


def flat(maker):
    metrics = ["INNER_PRODUCT", "L2", "L1", "Linf", "Lp", "Canberra", "BrayCurtis", "JensenShannon", "Jaccard", "NaNEuclidean", "GOWER"]
    for metric in metrics:
        index = faiss.IndexFlat(DIM, getattr(faiss, f"METRIC_{metric}"))
        index.metric_arg = 3.5
        index.add(maker.x)
        maker.rowwise(f"flat_{metric.lower()}", index)
    maker.rowwise("flat_ip_class", trained("Flat", maker.x, faiss.METRIC_INNER_PRODUCT))
    maker.rowwise("flat_empty", faiss.IndexFlatL2(DIM))
    one = faiss.IndexFlatL2(1)
    one.add(maker.x[:, :1].copy())
    maker.rowwise("flat_one_dim", one)
    removed = trained("Flat", maker.x)
    removed.remove_ids(numpy.arange(10, 30))
    maker.rowwise("flat_removed", removed)


def id_maps(maker):
    for name, kind in [("idmap", faiss.IndexIDMap), ("idmap2", faiss.IndexIDMap2)]:
        index = kind(faiss.IndexFlatL2(DIM))
        index.add_with_ids(maker.x, maker.ids)
        index.remove_ids(maker.ids[40:60])
        maker.rowwise(name, index, numpy.delete(maker.ids, numpy.arange(40, 60)), inner)
    index = faiss.IndexIDMap2(faiss.IndexHNSWFlat(DIM, 8))
    index.add_with_ids(maker.x, maker.ids)
    maker.rowwise("idmap_hnsw", index, maker.ids, inner)
    index = faiss.index_factory(DIM, f"IDMap2,IVF{LISTS},Flat")
    index.train(maker.plain)
    index.add_with_ids(maker.plain, maker.ids)
    again = maker.write("idmap_ivf", index, "exact")
    faiss.extract_index_ivf(again.index).make_direct_map()
    maker.truth("idmap_ivf", maker.ids, numpy.array([again.reconstruct(int(one)) for one in maker.ids]))
    index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(DIM, SQ.QT_fp16))
    index.add_with_ids(maker.plain, maker.ids)
    maker.rowwise("idmap_sq_fp16", index, maker.ids, inner, element="f16")


def storage(index):
    return faiss.downcast_index(index.storage)


def graphs(maker):
    hnsw = faiss.IndexHNSWFlat(DIM, 12)
    hnsw.hnsw.efConstruction, hnsw.hnsw.efSearch = 50, 33
    hnsw.add(maker.x[:50])
    hnsw.add(maker.x[50:])
    maker.rowwise("hnsw_flat", hnsw)
    maker.rowwise("hnsw_flat_ip", trained("HNSW16,Flat", maker.x, faiss.METRIC_INNER_PRODUCT))
    maker.rowwise("hnsw_empty", faiss.IndexHNSWFlat(DIM, 16))
    for kind, element in [("fp16", "f16"), ("bf16", "bf16"), ("8bit_direct", "u8")]:
        vectors = maker.bytes if element == "u8" else maker.plain
        index = faiss.IndexHNSWSQ(DIM, getattr(SQ, f"QT_{kind}"), 8)
        index.train(vectors)
        index.add(vectors)
        maker.rowwise(f"hnsw_sq_{kind}", index, element=element)
    maker.rowwise("nsg_flat", trained("NSG16,Flat", maker.plain))
    descent = faiss.IndexNNDescentFlat(DIM, 16)
    descent.add(maker.plain)
    maker.rowwise("nndescent_flat", descent, inner=storage)
    maker.refused("hnsw_pq", trained("HNSW8,PQ8x4", maker.plain))


def lists(maker):
    for kind in ["NoMap", "Array", "Hashtable"]:
        index = trained(f"IVF{LISTS},Flat", maker.plain, add=False)
        index.set_direct_map_type(getattr(faiss.DirectMap, kind))
        if kind == "Array":
            index.add(maker.plain)
        else:
            index.add_with_ids(maker.plain, maker.ids)
            index.remove_ids(maker.ids[5:25])
        maker.by_lists(f"ivf_flat_{kind.lower()}", index)
    maker.by_lists("ivf_flat_ip", trained(f"IVF{LISTS},Flat", maker.plain, faiss.METRIC_INNER_PRODUCT))
    maker.by_lists("ivf_flat_hnsw", trained(f"IVF{LISTS}_HNSW8,Flat", maker.plain))
    maker.by_lists("imi_flat", trained("IMI2x3,Flat", maker.plain))
    sparse = trained("IVF64,Flat", maker.plain, add=False)
    sparse.add(maker.plain[:9])
    maker.by_lists("ivf_flat_sparse", sparse)
    empty = trained(f"IVF{LISTS},Flat", maker.plain, add=False)
    maker.write("ivf_flat_empty", empty, "exact")
    maker.truth("ivf_flat_empty", [], numpy.zeros((0, DIM), dtype=numpy.float32))
    for by_residual in [False, True]:
        for kind, element in [("fp16", "f16"), ("bf16", "bf16"), ("8bit_direct", "u8"), ("8bit_direct_signed", "i8"), ("8bit", None), ("6bit", None)]:
            if by_residual and kind.startswith("8bit_direct"):
                continue
            vectors = maker.plain
            if kind.startswith("8bit_direct"):
                vectors = maker.bytes - (128 if "signed" in kind else 0)
            index = faiss.IndexIVFScalarQuantizer(
                faiss.IndexFlatL2(DIM), DIM, LISTS, getattr(SQ, f"QT_{kind}"), faiss.METRIC_L2, by_residual
            )
            index.train(vectors)
            index.add_with_ids(vectors, maker.ids)
            name = f"ivf_sq_{kind}_residual" if by_residual else f"ivf_sq_{kind}"
            read = "exact" if element else "lossy"
            maker.by_lists(name, index, read, element="f32" if by_residual or not element else element)
    maker.refused("ivf_pq", trained(f"IVF{LISTS},PQ8x4", maker.plain))
    maker.refused("ivf_pq_fast_scan", trained(f"IVF{LISTS},PQ8x4fs", maker.plain))
    dedup = faiss.IndexIVFFlatDedup(faiss.IndexFlatL2(DIM), DIM, LISTS)
    dedup.train(maker.plain)
    dedup.add(numpy.concatenate([maker.plain, maker.plain[:5]]))
    maker.refused("ivf_dedup", dedup)
    on_disk = trained(f"IVF{LISTS},Flat", maker.plain, add=False)
    kept = faiss.OnDiskInvertedLists(LISTS, on_disk.code_size, maker.path("elsewhere.ivfdata"))
    on_disk.replace_invlists(kept)
    on_disk.add(maker.plain)
    maker.refused("ivf_on_disk", on_disk)


def scalar_quantisers(maker):
    kinds = [("fp16", "f16"), ("bf16", "bf16"), ("8bit_direct", "u8"), ("8bit_direct_signed", "i8")]
    kinds += [(kind, None) for kind in ["8bit", "4bit", "8bit_uniform", "4bit_uniform", "6bit"]]
    for kind, element in kinds:
        vectors = maker.plain
        if kind.startswith("8bit_direct"):
            vectors = maker.bytes - (128 if "signed" in kind else 0)
        for dim in [DIM, DIM - 1]:
            index = faiss.IndexScalarQuantizer(dim, getattr(SQ, f"QT_{kind}"), faiss.METRIC_INNER_PRODUCT)
            part = numpy.ascontiguousarray(vectors[:, :dim])
            index.train(part)
            index.add(part)
            maker.rowwise(f"sq_{kind}_{dim}", index, read="exact" if element else "lossy", element=element or "f32")


def transformed(maker):
    maker.rowwise("l2norm_flat", trained("L2norm,Flat", maker.plain), inner=inner, normalised=True)
    maker.rowwise("l2norm_hnsw_ip", trained("L2norm,HNSW8,Flat", maker.plain, faiss.METRIC_INNER_PRODUCT), inner=inner, normalised=True)
    index = trained(f"L2norm,IVF{LISTS},Flat", maker.plain)
    maker.by_lists("l2norm_ivf", index, normalised=True)
    for name, factory, dim in [
        ("rotated", "RR16,Flat", 16), ("opq", "OPQ4_16,Flat", 16), ("pca", "PCA8,Flat", 8), ("pcar", "PCAR8,Flat", 8), ("pcaw", "PCAW8,Flat", 8),
        ("itq", "ITQ8,Flat", 8), ("padded", "Pad32,Flat", 32), ("l2norm_pca", "L2norm,PCA8,Flat", 8),
    ]:
        maker.rowwise(name, trained(factory, maker.plain), inner=inner, read="lossy", dim=dim)
    for name, transform in [("centred", faiss.CenteringTransform(DIM)), ("hadamard", getattr(faiss, "HadamardRotation", lambda d: None)(DIM))]:
        if transform is None:
            continue
        chained = faiss.IndexPreTransform(transform, faiss.IndexFlatL2(transform.d_out))
        chained.train(maker.plain)
        chained.add(maker.plain)
        maker.rowwise(name, chained, inner=inner, read="lossy", dim=transform.d_out)


def refined(maker):
    def refine(index):
        return faiss.downcast_index(index.refine_index)

    for name, factory in [
        ("refined_pq", "PQ8x4,RFlat"), ("refined_sq", "SQ8,RFlat"), ("refined_ivf_pq", f"IVF{LISTS},PQ8x4,RFlat"),
        ("refined_fast_scan", "PQ8x4fs,RFlat"), ("refined_ivf_fast_scan", f"IVF{LISTS},PQ8x4fs,RFlat"),
    ]:
        maker.rowwise(name, trained(factory, maker.plain), inner=refine)
    maker.rowwise("refined_fp16", trained("PQ8x4,Refine(SQfp16)", maker.plain), inner=refine, element="f16")
    index = faiss.index_factory(DIM, "IDMap2,PQ8x4,RFlat")
    index.train(maker.plain)
    index.add_with_ids(maker.plain, maker.ids)
    maker.rowwise("idmap_refined", index, maker.ids, lambda index: refine(inner(index)))


def binary(maker):
    def add(index, ids=None):
        if not index.is_trained:
            index.train(maker.bits)
        index.add(maker.bits) if ids is None else index.add_with_ids(maker.bits, ids)
        return index

    def binary_inner(index):
        return faiss.downcast_IndexBinary(index.index)

    maker.rowwise("binary_flat", add(faiss.IndexBinaryFlat(BITS)))
    maker.rowwise("binary_idmap", add(faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(BITS)), maker.ids), maker.ids, binary_inner)
    maker.rowwise("binary_idmap2", add(faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(BITS)), maker.ids), maker.ids, binary_inner)
    maker.rowwise("binary_hnsw", add(faiss.IndexBinaryHNSW(BITS, 8)))
    quantizer = faiss.IndexBinaryFlat(BITS)
    maker.by_lists("binary_ivf", add(faiss.IndexBinaryIVF(quantizer, BITS, LISTS), maker.ids))
    maker.refused("binary_hash", add(faiss.IndexBinaryHash(BITS, 8)))
    maker.refused("binary_multi_hash", add(faiss.IndexBinaryMultiHash(BITS, 2, 8)))


def refusals(maker):
    for name, factory in [
        ("pq", "PQ8x4"), ("pq_fast_scan", "PQ8x4fs"), ("lsh", "LSH"), ("rq", "RQ4x4"), ("lsq", "LSQ4x4"), ("rabitq", "RaBitQ"),
        ("opq_pq", "OPQ4,PQ4x4"), ("ivf_rq", f"IVF{LISTS},RQ4x4"), ("ivf_rabitq", f"IVF{LISTS},RaBitQ"), ("prq", "PRQ2x2x4"),
    ]:
        maker.refused(name, trained(factory, maker.plain))
    if hasattr(faiss, "IndexFlatL2Panorama"):
        panorama = faiss.IndexFlatL2Panorama(DIM, 4)
        panorama.add(maker.plain)
        maker.refused("panorama", panorama)
    if hasattr(faiss, "IndexHNSWFlatPanorama"):
        panorama = faiss.IndexHNSWFlatPanorama(DIM, 8, 4)
        panorama.add(maker.plain)
        maker.rowwise("hnsw_panorama", panorama)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("directory")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rows", type=int, default=400)
    options = arguments.parse_args()
    faiss.omp_set_num_threads(1)
    os.mkdir(options.directory)
    maker = Maker(options.directory, options.seed, options.rows)
    for make in [flat, id_maps, graphs, lists, scalar_quantisers, transformed, refined, binary, refusals]:
        make(maker)
    with open(maker.path("kinds.json"), "w", encoding="utf-8") as file:
        json.dump(maker.kinds, file, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
