//! The search of one query: greedily down the upper levels, then widely on level 0.
//!
//! Invariant: ties are settled as hnswlib does it. Answers stand by (distance, node); of candidates that are equally far,
//! that with the highest number is followed first; and a candidate that no longer is among the ef nearest is still
//! followed where it is as near as the last of them.

use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;

use super::lists::Links;
use super::points::Probe;

/// Vectors that are fetched ahead of the one that is compared.
const AHEAD: usize = 2;

/// A node and how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) distance: f32,
    pub(super) node: u32,
}

/// What a search took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Distances computed.
    pub(super) distances: u64,
    /// Nodes whose links were followed.
    pub(super) hops: u64,
}

/// The memory of a search, used again for the next one.
pub(super) struct Search {
    visited: Visited,
    pool: Pool,
    fresh: Vec<u32>,
    cost: Cost,
}

impl Search {
    fn new(nodes: usize) -> Self {
        Search {
            visited: Visited { epochs: vec![0; nodes], epoch: 0 },
            pool: Pool::default(),
            fresh: Vec::new(),
            cost: Cost::default(),
        }
    }

    /// Forgets what the search before this one cost.
    pub(super) fn begin(&mut self) {
        self.cost = Cost::default();
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn measured(&mut self, probe: &Probe, node: u32) -> Found {
        self.cost.distances += 1;
        Found { distance: probe.distance(node), node }
    }

    /// Moves to a nearer neighbour on `level` until there is none.
    pub(super) fn descend(&mut self, links: &impl Links, probe: &Probe, from: Found, level: usize) -> Found {
        let mut nearest = from;
        loop {
            let start = nearest.node;
            self.cost.hops += 1;
            let neighbours = links.of(start, level);
            neighbours.iter().for_each(|&node| probe.prefetch(node));
            for &node in neighbours {
                let found = self.measured(probe, node);
                if found.distance < nearest.distance {
                    nearest = found;
                }
            }
            if nearest.node == start {
                return nearest;
            }
        }
    }

    /// Finds the `ef` nearest nodes that can be reached on `level`; [`Search::answers`] has them. Only nodes whose flag in
    /// `allowed` is set count, the others are passed through.
    pub(super) fn explore(
        &mut self,
        links: &impl Links,
        probe: &Probe,
        from: Found,
        level: usize,
        ef: usize,
        allowed: Option<&[bool]>,
    ) {
        let answers = |node: u32| allowed.is_none_or(|flags| flags[node as usize]);
        self.visited.begin();
        self.visited.enter(from.node);
        self.pool.begin(ef);
        self.pool.offer(from, answers(from.node));
        while let Some(node) = self.pool.next() {
            self.cost.hops += 1;
            self.visited.take_new(links.of(node, level), &mut self.fresh);
            self.fresh.iter().take(AHEAD).for_each(|&node| probe.prefetch(node));
            for (place, &node) in self.fresh.iter().enumerate() {
                if let Some(&ahead) = self.fresh.get(place + AHEAD) {
                    probe.prefetch(ahead);
                }
                self.pool.offer(Found { distance: probe.distance(node), node }, answers(node));
            }
            self.cost.distances += self.fresh.len() as u64;
        }
    }

    /// Measures what was found by another probe, and puts it in that order.
    pub(super) fn measure_again(&mut self, probe: &Probe, found: &mut [Found]) {
        for place in 0..found.len() {
            if let Some(ahead) = found.get(place + AHEAD) {
                probe.prefetch(ahead.node);
            }
            found[place] = self.measured(probe, found[place].node);
        }
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.node.cmp(&b.node)));
    }

    /// What [`Search::explore`] found, nearest first.
    pub(super) fn answers(&self) -> impl Iterator<Item = Found> {
        self.pool.candidates.iter().filter(|candidate| candidate.answers).map(|candidate| candidate.key.found())
    }
}

/// Which nodes a search has seen: a node's epoch is that of the last search that saw it.
struct Visited {
    epochs: Vec<u8>,
    epoch: u8,
}

impl Visited {
    fn begin(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.epochs.fill(0);
            self.epoch = 1;
        }
    }

    /// Marks `nodes`; `fresh` then has those that were not marked before.
    #[inline]
    fn take_new(&mut self, nodes: &[u32], fresh: &mut Vec<u32>) {
        // Writing each and counting the new ones has no branch to mispredict.
        fresh.resize(nodes.len(), 0);
        let mut count = 0;
        for &node in nodes {
            fresh[count] = node;
            count += usize::from(self.enter(node));
        }
        fresh.truncate(count);
    }

    /// Marks a node; false if it was marked before.
    #[inline]
    fn enter(&mut self, node: u32) -> bool {
        std::mem::replace(&mut self.epochs[node as usize], self.epoch) != self.epoch
    }
}

/// The nearest nodes found so far, by (distance, node); what is followed and what answers stands in one row.
#[derive(Default)]
struct Pool {
    candidates: Vec<Candidate>,
    ef: usize,
    /// Candidates that answer, at most `ef`.
    answers: usize,
    /// How far the last answer is, once there are `ef`; before, infinitely far. Nearer nodes are taken in.
    bound: f32,
    /// Everything before was followed.
    cursor: usize,
}

#[derive(Clone, Copy)]
struct Candidate {
    key: Key,
    followed: bool,
    answers: bool,
}

/// A [`Found`] as one number that has the order of (distance, node).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

const SIGN: u32 = 1 << 31;

impl Key {
    #[inline]
    fn new(found: Found) -> Self {
        // Adding zero makes one of the two zeros. Positive floats have the order of their bits, negative ones the reverse.
        let bits = (found.distance + 0.0).to_bits();
        let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        Key(u64::from(ordered) << 32 | u64::from(found.node))
    }

    #[inline]
    fn found(self) -> Found {
        let ordered = (self.0 >> 32) as u32;
        let bits = if ordered & SIGN == 0 { !ordered } else { ordered & !SIGN };
        Found { distance: f32::from_bits(bits), node: self.0 as u32 }
    }
}

impl Pool {
    fn begin(&mut self, ef: usize) {
        self.candidates.clear();
        let bound = if ef == 0 { f32::NEG_INFINITY } else { f32::INFINITY };
        *self = Pool { candidates: std::mem::take(&mut self.candidates), ef, answers: 0, bound, cursor: 0 };
    }

    /// Takes a node in if it is nearer than the last answer, or answers are still wanted.
    #[inline]
    fn offer(&mut self, found: Found, answers: bool) {
        if found.distance >= self.bound {
            return;
        }
        let key = Key::new(found);
        let place = self.candidates.partition_point(|kept| kept.key < key);
        self.candidates.insert(place, Candidate { key, followed: false, answers });
        self.cursor = self.cursor.min(place);
        if answers {
            self.answers += 1;
            if self.answers >= self.ef {
                self.drop_what_is_too_far();
            }
        }
    }

    /// The place of the last answer: the end of the row, but for ties and nodes that do not answer.
    #[inline]
    fn last_answer(&self) -> Option<usize> {
        self.candidates.iter().rposition(|candidate| candidate.answers)
    }

    #[inline]
    fn drop_what_is_too_far(&mut self) {
        if self.answers > self.ef
            && let Some(last) = self.last_answer()
        {
            self.candidates[last].answers = false;
            self.answers -= 1;
        }
        if let Some(last) = self.last_answer() {
            self.bound = self.candidates[last].key.found().distance;
            while self.candidates.last().is_some_and(|candidate| candidate.key.found().distance > self.bound) {
                self.candidates.pop();
            }
        }
    }

    /// The nearest candidate that was not followed yet; of equally near ones that with the highest number.
    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.candidates.get(self.cursor)?.followed {
            self.cursor += 1;
        }
        let rest = &mut self.candidates[self.cursor..];
        let distance = rest[0].key.found().distance;
        let equals = rest.iter_mut().take_while(|candidate| candidate.key.found().distance == distance);
        let next = equals.filter(|candidate| !candidate.followed).last()?;
        next.followed = true;
        Some(next.key.found().node)
    }
}

/// One [`Search`] per thread of a pool.
pub(super) struct Workers {
    searches: Vec<Mutex<Search>>,
}

impl Workers {
    pub(super) fn new(pool: &ThreadPool, nodes: usize) -> Self {
        Workers { searches: (0..pool.current_num_threads()).map(|_| Mutex::new(Search::new(nodes))).collect() }
    }

    /// Lends the search of the thread; `work` must not go parallel itself.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Search) -> T) -> T {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.searches.len();
        work(&mut self.searches[thread].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ef: usize, offers: &[(f32, u32, bool)]) -> (Vec<u32>, Vec<u32>) {
        let mut pool = Pool::default();
        pool.begin(ef);
        offers.iter().for_each(|&(distance, node, answers)| pool.offer(Found { distance, node }, answers));
        let answers = pool.candidates.iter().filter(|c| c.answers).map(|c| c.key.found().node).collect();
        (answers, std::iter::from_fn(|| pool.next()).collect())
    }

    #[test]
    fn answers_stand_by_distance_and_candidates_are_followed_nearest_first() {
        let all = [(3.0, 7, true), (1.0, 9, true), (2.0, 4, true), (5.0, 1, true), (0.5, 2, true)];
        assert_eq!(taken(3, &all), (vec![2, 9, 4], vec![2, 9, 4]));
    }

    #[test]
    fn of_equals_the_highest_number_is_followed_first_and_dropped_first() {
        let all = [(1.0, 5, true), (1.0, 8, true), (1.0, 6, true), (0.0, 9, true)];
        // 8 no longer answers, but is as near as the last that does.
        assert_eq!(taken(3, &all), (vec![9, 5, 6], vec![9, 8, 6, 5]));
        assert_eq!(taken(2, &[(1.0, 5, true), (1.0, 8, true), (1.0, 6, true)]).0, [5, 8]);
    }

    #[test]
    fn nodes_that_do_not_answer_are_followed_as_long_as_they_may_lead_on() {
        let all = [(1.0, 1, false), (2.0, 2, true), (3.0, 3, false), (4.0, 4, true), (0.5, 5, true), (3.5, 6, false)];
        assert_eq!(taken(2, &all), (vec![5, 2], vec![5, 1, 2]));
    }

    #[test]
    fn a_node_is_new_once_per_search_for_thousands_of_searches() {
        let mut visited = Visited { epochs: vec![0; 3], epoch: 0 };
        for _ in 0..1_000 {
            visited.begin();
            assert!(visited.enter(1) && !visited.enter(1) && visited.enter(2));
        }
    }
}
