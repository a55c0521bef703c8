//! Building a graph: rows go in by batches.
//!
//! Invariant: a batch is cut by the number of rows before it, never by threads. Its rows look for neighbours in the graph
//! that stood before it, in parallel; then all new links are sorted by the list that they go to, and lists take their links
//! in parallel, each in the order of insertion. So every number of threads builds the same graph, without locks.
//!
//! Rows of one batch do not see each other; a batch is at most a sixty-fourth of the graph that it joins.

use rayon::ThreadPool;
use rayon::prelude::*;

use super::lists::{BuiltLinks, Lists};
use super::points::Points;
use super::search::{Found, Search, Workers};
use super::twins::Twins;
use crate::graph::{HnswSettings, InsertionOrder};
use crate::random::{SplitMix64, sample};
use crate::set::VectorSet;

/// The part of the graph that a batch may be.
const BATCH_PART: usize = 64;

/// Rows in a batch at most.
const BATCH_ROWS: usize = 1_024;

/// Rows between two questions whether to go on.
const ROWS_PER_QUESTION: usize = 1_000;

/// Parts that the lists are cut into where threads share them out.
const PARTS: usize = 512;

/// No node reaches higher; few would at the steepest settings (m 2) and 2^24 rows.
const TOP_LEVEL: f64 = 24.0;

/// Neighbours of a new node, by level.
type Neighbours = Vec<Vec<Found>>;

/// Builds the graph and says which rows are no nodes of their own; none if `go_on` refuses.
pub(super) fn build(
    points: &Points,
    set: &VectorSet,
    settings: HnswSettings,
    order: InsertionOrder,
    pool: &ThreadPool,
    go_on: &dyn Fn(usize) -> bool,
) -> Option<(BuiltLinks, Twins)> {
    let mut rows = rows_in(set, order);
    let twins = Twins::take_from(&mut rows, set, pool);
    let mut builder = Builder::new(points, settings, &levels_of(&rows, set.len(), settings.m, order));
    let workers = Workers::new(pool, set.len());
    let (mut inserted, mut asked) = (0, 0);
    while inserted < rows.len() {
        let batch = &rows[inserted..][..builder.batch_rows(&rows[inserted..], inserted)];
        let find = |&row: &u32| workers.with(|search| builder.neighbours(search, row));
        let found: Vec<Neighbours> = pool.install(|| batch.par_iter().map(find).collect());
        builder.connect(batch, &found, pool);
        inserted += batch.len();
        if inserted - asked >= ROWS_PER_QUESTION || inserted == rows.len() {
            asked = inserted;
            // Twins are done with their nodes.
            if !go_on(inserted * set.len() / rows.len()) {
                return None;
            }
        }
    }
    Some((builder.links, twins))
}

fn rows_in(set: &VectorSet, order: InsertionOrder) -> Vec<u32> {
    let ranks = match order {
        InsertionOrder::ById => (0..set.len()).collect(),
        InsertionOrder::Shuffled(seed) => sample(set.len(), set.len(), seed),
    };
    ranks.into_iter().map(|rank| set.keys().row_at_rank(rank) as u32).collect()
}

/// How high each row reaches, drawn in the order of insertion, so that levels do not depend on how rows lie.
fn levels_of(rows: &[u32], nodes: usize, m: u32, order: InsertionOrder) -> Vec<u8> {
    let mut random = SplitMix64(match order {
        InsertionOrder::ById => 0,
        InsertionOrder::Shuffled(seed) => seed,
    });
    let scale = 1.0 / f64::from(m).ln();
    let mut levels = vec![0; nodes];
    for &row in rows {
        levels[row as usize] = (-random.unit().ln() * scale).min(TOP_LEVEL) as u8;
    }
    levels
}

/// A graph in the making.
struct Builder<'a> {
    points: &'a Points<'a>,
    m: usize,
    ef_construction: usize,
    links: BuiltLinks,
    /// How far the links of level 0 lead, and those above: one length for each place of each list.
    base_lengths: Vec<f32>,
    upper_lengths: Vec<f32>,
}

impl<'a> Builder<'a> {
    fn new(points: &'a Points<'a>, settings: HnswSettings, levels: &[u8]) -> Self {
        let m = settings.m as usize;
        let links = BuiltLinks::new(levels, m);
        let lengths = |lists: &Lists| vec![0.0; lists.len() * lists.room];
        let (base_lengths, upper_lengths) = (lengths(&links.base), lengths(&links.upper));
        let ef_construction = (settings.ef_construction as usize).max(m);
        Builder { points, m, ef_construction, links, base_lengths, upper_lengths }
    }

    fn top(&self) -> Option<usize> {
        self.links.entry.map(|entry| self.links.level(entry))
    }

    /// How many of the next rows go in together. A row that reaches higher than all before it goes alone.
    fn batch_rows(&self, next: &[u32], inserted: usize) -> usize {
        let most = (inserted / BATCH_PART).clamp(1, BATCH_ROWS).min(next.len());
        let rises = |row: &u32| Some(self.links.level(*row)) > self.top();
        next[..most].iter().position(rises).map_or(most, |low| low.max(1))
    }

    /// Whom a new row is to link to, on each level that it shares with the graph.
    fn neighbours(&self, search: &mut Search, row: u32) -> Neighbours {
        let Some(entry) = self.links.entry else { return Vec::new() };
        let probe = self.points.node(row);
        let (top, reached) = (self.links.level(entry), self.links.level(row));
        let mut nearest = search.measured(&probe, entry);
        for level in (reached + 1..=top).rev() {
            nearest = search.descend(&self.links, &probe, nearest, level);
        }
        let mut found = vec![Vec::new(); reached.min(top) + 1];
        for level in (0..found.len()).rev() {
            search.explore(&self.links, &probe, nearest, level, self.ef_construction, None);
            let candidates: Vec<Found> = search.answers().collect();
            nearest = candidates[0];
            found[level] = select(self.points, &candidates, self.m);
        }
        found
    }

    /// Adds the links of a batch, both ways.
    fn connect(&mut self, batch: &[u32], found: &[Neighbours], pool: &ThreadPool) {
        let (mut base, mut upper) = (Vec::new(), Vec::new());
        for (&row, neighbours) in batch.iter().zip(found) {
            for (level, neighbours) in neighbours.iter().enumerate() {
                let links = if level == 0 { &mut base } else { &mut upper };
                for &to in neighbours {
                    links.push(NewLink { list: self.links.list(row, level), to });
                    let back = Found { distance: to.distance, node: row };
                    links.push(NewLink { list: self.links.list(to.node, level), to: back });
                }
            }
            if Some(self.links.level(row)) > self.top() {
                self.links.entry = Some(row);
            }
        }
        let points = self.points;
        pool.install(|| {
            add(&mut self.links.base, &mut self.base_lengths, base, points);
            add(&mut self.links.upper, &mut self.upper_lengths, upper, points);
        });
    }
}

/// A link that is to be added to a list.
#[derive(Clone, Copy)]
struct NewLink {
    list: usize,
    to: Found,
}

/// Adds links to lists, those of one list in the order given; parts of the lists in parallel.
fn add(lists: &mut Lists, lengths: &mut [f32], mut links: Vec<NewLink>, points: &Points) {
    if links.is_empty() {
        return;
    }
    links.sort_by_key(|link| link.list);
    let room = lists.room;
    let part_lists = lists.len().div_ceil(PARTS);
    let parts = lists.words.par_chunks_mut(part_lists * (room + 1)).zip(lengths.par_chunks_mut(part_lists * room));
    parts.enumerate().for_each(|(part, (words, lengths))| {
        let first = part * part_lists;
        let start = links.partition_point(|link| link.list < first);
        let end = links.partition_point(|link| link.list < first + part_lists);
        for link in &links[start..end] {
            let list = link.list - first;
            let words = &mut words[list * (room + 1)..][..room + 1];
            add_one(words, &mut lengths[list * room..][..room], link.to, points);
        }
    });
}

/// Adds a link to a list; a full one keeps the selected links.
fn add_one(words: &mut [u32], lengths: &mut [f32], to: Found, points: &Points) {
    let Some((count, links)) = words.split_first_mut() else { return };
    let used = *count as usize;
    if used < links.len() {
        (links[used], lengths[used]) = (to.node, to.distance);
        *count += 1;
        return;
    }
    let mut candidates: Vec<Found> =
        links.iter().zip(lengths.iter()).map(|(&node, &distance)| Found { distance, node }).collect();
    candidates.push(to);
    candidates.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let selected = select(points, &candidates, links.len());
    *count = selected.len() as u32;
    for ((link, length), kept) in links.iter_mut().zip(lengths).zip(selected) {
        (*link, *length) = (kept.node, kept.distance);
    }
}

/// At most `m` of the candidates, which stand nearest first: those that are nearer to the node than to any selected before.
fn select(points: &Points, candidates: &[Found], m: usize) -> Vec<Found> {
    if candidates.len() < m {
        return candidates.to_vec();
    }
    let mut selected: Vec<Found> = Vec::with_capacity(m);
    for candidate in candidates {
        if selected.len() == m {
            break;
        }
        if selected.iter().all(|kept| points.between(kept.node, candidate.node) >= candidate.distance) {
            selected.push(*candidate);
        }
    }
    selected
}
