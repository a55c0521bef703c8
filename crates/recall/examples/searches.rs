//! Times exact and graph search for `benches/search.py`; prints one JSON object.
//!
//! usage: searches knn METHOD FOLDER DIM K THREADS
//!        searches hnsw ENGINE FOLDER DIM K THREADS M EF_CONSTRUCTION EF_SEARCH..
//!
//! FOLDER has `base.f32` and `queries.f32` (row-major, little endian) and, for hnsw, `truth.i32` (K rows per query). Vectors are
//! compared by dot product. Times are of the search only, the median of three.

use std::path::Path;
use std::time::Instant;

use rayon::ThreadPool;
use tranship_collection::Metric;
use tranship_recall::graph::InsertionOrder;
use tranship_recall::{
    Engine, Graph, HnswSettings, Method, QuerySet, VectorSet, VectorSetBuilder, exact_neighbours_by,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, how, folder, numbers @ ..] = &arguments[..] else { return Err("see the head of the source".into()) };
    let numbers: Vec<u32> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [dim, k, threads, settings @ ..] = &numbers[..] else { return Err("DIM, K and THREADS are missing".into()) };
    let (folder, dim, k) = (Path::new(folder), *dim as usize, *k as usize);
    let set = set_of(&floats(&folder.join("base.f32"))?, dim)?;
    let queries = QuerySet::from_vectors(&set, &floats(&folder.join("queries.f32"))?)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(*threads as usize).build()?;
    match verb.as_str() {
        "knn" => knn(how, folder, &set, &queries, k, &pool),
        _ => hnsw(how, folder, &set, &queries, k, &pool, settings),
    }
}

fn floats(path: &Path) -> std::io::Result<Vec<f32>> {
    Ok(std::fs::read(path)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn set_of(values: &[f32], dim: usize) -> Result<VectorSet, Box<dyn std::error::Error>> {
    let mut builder = VectorSetBuilder::new(dim, Metric::Dot, values.len() / dim)?;
    for (row, vector) in values.chunks_exact(dim).enumerate() {
        builder.push(None, &format!("{row:09}"), vector)?;
    }
    Ok(builder.finish()?)
}

/// Median seconds of three runs, and what the last one gave.
fn timed<T>(work: impl Fn() -> T) -> (f64, T) {
    let run = || {
        let start = Instant::now();
        let outcome = work();
        (start.elapsed().as_secs_f64(), outcome)
    };
    let (first, second, (third, outcome)) = (run().0, run().0, run());
    let mut seconds = [first, second, third];
    seconds.sort_by(f64::total_cmp);
    (seconds[1], outcome)
}

fn knn(
    method: &str,
    folder: &Path,
    set: &VectorSet,
    queries: &QuerySet,
    k: usize,
    pool: &ThreadPool,
) -> Result<(), Box<dyn std::error::Error>> {
    let method = match method {
        "plain" => Method::Plain,
        "floats" => Method::Floats,
        _ => Method::Codes,
    };
    let (seconds, found) = timed(|| exact_neighbours_by(method, set, queries, k, pool));
    let rows = found.iter().flat_map(|nearest| nearest.neighbours().iter().map(|neighbour| neighbour.row as i32));
    #[allow(clippy::disallowed_methods, reason = "scratch of a benchmark")]
    std::fs::write(folder.join("found.i32"), rows.flat_map(i32::to_le_bytes).collect::<Vec<u8>>())?;
    println!("{{\"seconds\": {seconds}}}");
    Ok(())
}

fn hnsw(
    engine: &str,
    folder: &Path,
    set: &VectorSet,
    queries: &QuerySet,
    k: usize,
    pool: &ThreadPool,
    settings: &[u32],
) -> Result<(), Box<dyn std::error::Error>> {
    let engine = if engine == "flat" { Engine::Flat } else { Engine::HnswRs };
    let [m, ef_construction, searches @ ..] = settings else { return Err("M and EF_CONSTRUCTION are missing".into()) };
    let settings = HnswSettings { m: *m, ef_construction: *ef_construction, ef_search: 0 };
    let truth = std::fs::read(folder.join("truth.i32"))?;
    let truth: Vec<usize> = truth.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as usize).collect();
    let start = Instant::now();
    let graph = Graph::build(engine, set, queries, settings, InsertionOrder::ById, pool, &|_| true)?;
    let build_seconds = start.elapsed().as_secs_f64();
    let Some(graph) = graph else { return Err("no graph".into()) };
    let mut points = Vec::new();
    for &ef in searches {
        let (seconds, answers) = timed(|| graph.search(k, ef));
        let answers = answers?;
        let hits: usize = answers
            .rows
            .iter()
            .zip(truth.chunks_exact(k))
            .map(|(rows, truth)| rows.iter().filter(|row| truth.contains(row)).count())
            .sum();
        let recall = hits as f64 / truth.len() as f64;
        let per_query = |count: Option<u64>| count.unwrap_or(0) as f64 / queries.len() as f64;
        points.push(format!(
            "{{\"ef\": {ef}, \"seconds\": {seconds}, \"recall\": {recall}, \"distances\": {}, \"hops\": {}}}",
            per_query(answers.distances),
            per_query(answers.hops)
        ));
    }
    println!("{{\"build_seconds\": {build_seconds}, \"points\": [{}]}}", points.join(", "));
    Ok(())
}
