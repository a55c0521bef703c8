//! What the rules of a target mean for one measured collection: the mapping, and every loss with its grade.
//!
//! Invariant: everything that a record can lose on its way is in the list, with the records that it concerns; what the
//! survey has not found in any record is not in it. Errors: usage (no metric, no possible name), limit (more dimensions
//! than the target takes), damaged (a record that is no record).

use tranship_collection::fingerprint::vector_component;
use tranship_collection::{CollectionSchema, Metric, VectorKind, VectorSpec};
use tranship_connector::mapping::{DOCUMENT_KEY, EXACT_KEY, ID_KEY, NAMESPACE_KEY};
use tranship_connector::rules::{IntegerIds, MetadataRules, Rules};
use tranship_connector::{CreateOptions, Error, Grade, Loss, Mapping, Result, Survey};

/// The next step where the target has no place for something.
pub const KEPT_ELSEWHERE: &str = "an archive, Parquet or JSON lines keep it: convert to one of them";

/// The mapping that records are surveyed with: nothing is left out yet.
pub fn mapping(rules: &Rules, schema: &CollectionSchema, options: &CreateOptions, name: String) -> Result<Mapping> {
    let document_key = options.document_key.clone().unwrap_or_else(|| DOCUMENT_KEY.to_owned());
    if [ID_KEY, NAMESPACE_KEY, EXACT_KEY].contains(&document_key.as_str()) || document_key.is_empty() {
        return Err(Error::usage(format!("`{document_key}` cannot be the metadata key of documents"))
            .hint("choose another --document-key"));
    }
    let inner = |wanted: bool| wanted && rules.metadata.is_some();
    Ok(Mapping {
        collection: name,
        ids: rules.ids,
        document_key: inner(!rules.documents).then_some(document_key),
        namespace_key: inner(schema.namespaced && !rules.namespaces).then(|| NAMESPACE_KEY.to_owned()),
        exact_key: rules.metadata.is_some().then(|| EXACT_KEY.to_owned()),
        metadata: rules.metadata.unwrap_or(MetadataRules::JSON),
        rows: rules.rows,
        drops_documents: !rules.documents && rules.metadata.is_none(),
        drops_metadata: rules.metadata.is_none(),
        ..Mapping::identity(rules.target, schema)
    })
}

/// Adds to the mapping what the survey means for it, with all losses that the rules know.
pub fn settle(rules: &Rules, mapping: &mut Mapping, survey: &Survey, options: &CreateOptions) -> Result<()> {
    let schema = mapping.schema.clone();
    let mut losses = Vec::new();
    id_losses(rules, survey, &mut losses);
    text_losses(rules, mapping, survey, &mut losses);
    let kept = choose_vectors(rules, &schema, options, mapping, &mut losses)?;
    for spec in kept {
        losses.extend(vector_losses(rules, spec, survey, mapping)?);
    }
    losses.extend(fault_losses(mapping, survey, options)?);
    mapping.losses = losses;
    Ok(())
}

/// Records that the target cannot hold: left out by consent.
pub fn fault_losses(mapping: &mut Mapping, survey: &Survey, options: &CreateOptions) -> Result<Vec<Loss>> {
    let mut losses = Vec::new();
    for ((code, path), finding) in &survey.faults {
        if code == "BROKEN" {
            return Err(Error::damaged(format!("a record cannot be taken: {}", finding.what))
                .with("id", finding.examples.join(", "))
                .hint("set it aside with --max-rejects"));
        }
        let (from, to) = (finding.what.clone(), "left out, listed in data/left-out-*");
        losses.push(Loss::new(code, path, from, to, Grade::Dropped).of(finding));
        if options.allow_loss.contains(code) && !mapping.left_out.contains(code) {
            mapping.left_out.push(code.clone());
        }
    }
    Ok(losses)
}

fn id_losses(rules: &Rules, survey: &Survey, losses: &mut Vec<Loss>) {
    if survey.mapped_ids.records > 0 {
        let to = format!("UUIDv5, the original in the metadata under {ID_KEY}");
        let from = format!("ids that {} does not take, or that stand in a namespace", rules.title);
        losses.push(Loss::new("ID_TO_UUID", "id", from, to, Grade::Reversible).of(&survey.mapped_ids));
    }
    if rules.ids.integers == IntegerIds::AsText && survey.records > survey.text_ids {
        losses.push(Loss::new("ID_AS_TEXT", "id", "integer ids", "their decimal digits", Grade::Reversible));
    }
    if survey.namespaces_moved.records > 0 {
        let to = format!("metadata key {NAMESPACE_KEY}");
        let loss = Loss::new("NAMESPACE_IN_PAYLOAD", "namespace", "namespace", to, Grade::Reversible);
        losses.push(loss.of(&survey.namespaces_moved));
    }
}

fn text_losses(rules: &Rules, mapping: &Mapping, survey: &Survey, losses: &mut Vec<Loss>) {
    if survey.documents_moved.records > 0 {
        let to = format!("metadata key {}", mapping.document_key.as_deref().unwrap_or_default());
        let loss = Loss::new("DOCUMENT_IN_PAYLOAD", "document", "document", to, Grade::Reversible);
        losses.push(loss.of(&survey.documents_moved));
    }
    if survey.exact.records > 0 {
        let from = format!("entries that {} does not hold as they are, as in {}", rules.title, survey.exact.what);
        let to = format!("exact as text under {EXACT_KEY}");
        let loss = Loss::new("METADATA_AS_TEXT", "metadata", from, to, Grade::Reversible);
        losses.push(loss.of(&survey.exact));
    }
    let mut dropped = |code: &str, path: &str, records: u64| {
        let mut loss = Loss::new(code, path, path, "left out", Grade::Dropped);
        loss.records = Some(records);
        losses.push(loss);
    };
    if mapping.drops_documents && survey.documents > 0 {
        dropped("DOCUMENT_DROPPED", "document", survey.documents);
    }
    if mapping.drops_metadata && survey.metadata > 0 {
        dropped("METADATA_DROPPED", "metadata", survey.metadata);
    }
}

/// The vectors that the target takes; the others are dropped by consent.
fn choose_vectors<'a>(
    rules: &Rules,
    schema: &'a CollectionSchema,
    options: &CreateOptions,
    mapping: &mut Mapping,
    losses: &mut Vec<Loss>,
) -> Result<Vec<&'a VectorSpec>> {
    let wanted = options.options.get("vector");
    let dense = |spec: &&VectorSpec| spec.kind == VectorKind::Dense;
    if let Some(name) = wanted.filter(|name| !schema.stored_vectors().any(|spec| spec.name == **name)) {
        let names: Vec<&str> = schema.stored_vectors().map(|spec| spec.name.as_str()).collect();
        return Err(
            Error::usage(format!("there is no vector `{name}`")).hint(format!("there are: {}", names.join(", ")))
        );
    }
    let (mut kept, mut room_dense, mut room_sparse) = (Vec::new(), rules.vectors.max_dense, rules.vectors.max_sparse);
    let first = wanted.and_then(|name| schema.stored_vectors().find(|spec| spec.name == *name));
    let others = schema.stored_vectors().filter(|spec| Some(&spec.name) != wanted);
    for spec in first.into_iter().chain(others) {
        let fits = match spec.kind {
            VectorKind::Dense => take_room(&mut room_dense),
            VectorKind::Sparse => take_room(&mut room_sparse),
            VectorKind::Multi => rules.vectors.multi,
            VectorKind::Bits => rules.vectors.bits,
        };
        if fits {
            kept.push(spec);
            continue;
        }
        let several = dense(&spec) && rules.vectors.max_dense > 0;
        let to = match several {
            true => {
                format!("left out: {} has one vector per record; choose with --target-option vector=NAME", rules.title)
            }
            false => format!("left out: {} has no {} vectors", rules.title, kind_name(spec.kind)),
        };
        let from = format!("{} vector", kind_name(spec.kind));
        losses.push(Loss::new("VECTOR_DROPPED", &vector_component(&spec.name), from, to, Grade::Dropped));
        mapping.dropped_vectors.push(spec.name.clone());
    }
    Ok(kept)
}

fn take_room(room: &mut usize) -> bool {
    let fits = *room > 0;
    *room = room.saturating_sub(1);
    fits
}

fn kind_name(kind: VectorKind) -> &'static str {
    match kind {
        VectorKind::Dense => "dense",
        VectorKind::Sparse => "sparse",
        VectorKind::Multi => "multi",
        VectorKind::Bits => "bit",
    }
}

fn vector_losses(rules: &Rules, spec: &VectorSpec, survey: &Survey, mapping: &mut Mapping) -> Result<Vec<Loss>> {
    let path = vector_component(&spec.name);
    let mut losses = Vec::new();
    if let Some(dim) = spec.dim.filter(|dim| *dim == 0 || *dim > rules.vectors.max_dim) {
        let max = rules.vectors.max_dim;
        return Err(
            Error::limit(format!("{} takes 1 to {max} dimensions; {path} has {dim}", rules.title)).hint(KEPT_ELSEWHERE)
        );
    }
    if matches!(spec.kind, VectorKind::Dense | VectorKind::Multi) {
        losses.extend(metric_loss(rules, spec, &path, survey, mapping)?);
        if !rules.vectors.elements.contains(&spec.element) {
            let stored = rules.vectors.elements.first().copied().unwrap_or(tranship_collection::Element::F32);
            let (from, to) = (format!("{:?}", spec.element), format!("{stored:?} with the same values"));
            losses.push(Loss::new("ELEMENT_WIDENED", &path, from.to_lowercase(), to.to_lowercase(), Grade::Exact));
        }
    }
    Ok(losses)
}

/// Settles the metric of a vector at the target. Another one than the source's will do only where it ranks the same.
fn metric_loss(
    rules: &Rules,
    spec: &VectorSpec,
    path: &str,
    survey: &Survey,
    mapping: &mut Mapping,
) -> Result<Option<Loss>> {
    let Some(metric) = spec.metric else {
        if rules.vectors.metrics.is_empty() {
            return Ok(None);
        }
        let what = "the source does not say by which metric its vectors compare";
        return Err(Error::usage(format!("{} cannot take {path}: {what}", rules.title))
            .hint("say it with --metric cosine|dot|l2|l1"));
    };
    if rules.vectors.metrics.is_empty() || rules.vectors.metrics.contains(&metric) {
        mapping.metrics.insert(spec.name.clone(), metric);
        return Ok(None);
    }
    let same_rank = [Metric::Cosine, Metric::Dot, Metric::L2];
    let unit = survey.all_unit(&spec.name) && same_rank.contains(&metric);
    let other = rules.vectors.metrics.iter().copied().find(|other| !unit || same_rank.contains(other));
    let other =
        other.ok_or_else(|| Error::usage(format!("{} has no metric for {path}", rules.title)).hint(KEPT_ELSEWHERE))?;
    mapping.metrics.insert(spec.name.clone(), other);
    let (to, grade) = match unit {
        true => (
            format!("metric {}, which ranks vectors of unit length the same; scores differ", other.name()),
            Grade::Equivalent,
        ),
        false => (format!("metric {}: search answers otherwise", other.name()), Grade::Lossy),
    };
    Ok(Some(Loss::new("METRIC", path, format!("metric {}", metric.name()), to, grade)))
}

/// Declares the target's normalising of cosine vectors, as far as any vector is changed by it.
pub fn normalise(
    mapping: &mut Mapping,
    survey: &Survey,
    title: &str,
    tolerance: impl Fn(&VectorSpec) -> f32,
    applies: impl Fn(&VectorSpec) -> bool,
) {
    let schema = mapping.schema.clone();
    for spec in schema.stored_vectors().filter(|spec| applies(spec) && !mapping.dropped_vectors.contains(&spec.name)) {
        mapping.normalised.push(spec.name.clone());
        mapping.tolerance.insert(spec.name.clone(), tolerance(spec));
        let path = vector_component(&spec.name);
        let to = format!("unit length, made by {title} when it stores the vector");
        let from = match survey.all_unit(&spec.name) {
            true => "vectors of unit length, within rounding",
            false => "vectors of any length",
        };
        mapping.losses.push(Loss::new("NORM", &path, from, to, Grade::Equivalent));
    }
}

/// Index settings that the target has no name for.
pub fn clamped(name: &str, value: u32, range: std::ops::RangeInclusive<u32>, path: &str) -> (u32, Option<Loss>) {
    let kept = value.clamp(*range.start(), *range.end());
    let loss = (kept != value).then(|| {
        Loss::new("INDEX_SETTINGS", path, format!("{name} {value}"), format!("{name} {kept}"), Grade::Equivalent)
    });
    (kept, loss)
}
