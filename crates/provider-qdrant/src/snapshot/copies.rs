//! Which copy of a shard is read, where several nodes have one.
//!
//! Versions of points are counted by each node for itself, and a deleted point leaves no trace: copies cannot be put
//! together point by point. A node's clocks say which operations its copy has seen, so the copy that has seen all that
//! the others have is the shard.
//!
//! ```text
//! replica_state.json   {"this_peer_id": n, "peers": {"<node>": "Active" | "Listener" | "Dead" | ..}}
//! newest_clocks.json   {"clocks": [{"peer_id", "clock_id", "current_tick", "token"}]}, as of the last flush
//! wal                  each entry's "clock_tag": {"peer_id", "clock_id", "clock_tick", "token", ..}
//! ```
//!
//! Invariant: a copy is left out only if it is not whole by the state that any node has for it and others are, or if
//! a copy that is read has seen every tick that it has. Where no copy has seen everything, all are kept and it is told.
//!
//! Errors: damaged for states and clocks that are no JSON, those of the log's files.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::Decoder;
use serde_json::Value;
use tranship_connector::Result;
use tranship_storage::Limits;

use super::cbor::{Decoded, entries};
use super::layout::{ShardCopy, json};
use super::wal::files::WalFiles;

/// The last tick that a copy has seen of each clock, and the token of that clock; by node and number.
#[derive(Debug, Default, PartialEq, Eq)]
struct Clocks(BTreeMap<(u64, u64), (u64, u64)>);

/// The copies to read, in their order, and what is worth telling.
pub fn chosen(copies: Vec<ShardCopy>, limits: &Limits) -> Result<(Vec<ShardCopy>, Vec<String>)> {
    let mut of_shard: BTreeMap<u32, Vec<ShardCopy>> = BTreeMap::new();
    for copy in copies {
        of_shard.entry(copy.id).or_default().push(copy);
    }
    let (mut kept, mut notes) = (Vec::new(), Vec::new());
    for (_, copies) in of_shard {
        let (copies, note) = newest(copies, limits)?;
        kept.extend(copies);
        notes.extend(note);
    }
    Ok((kept, notes))
}

/// The copy of one shard that has seen everything; all of them if there is none.
fn newest(copies: Vec<ShardCopy>, limits: &Limits) -> Result<(Vec<ShardCopy>, Option<String>)> {
    let doubted = doubted(&copies)?;
    let is_doubted = |copy: &ShardCopy| copy.node.is_some_and(|node| doubted.contains(&node));
    let (id, count) = (copies.first().map_or(0, |copy| copy.id), copies.len());
    if count == 1 {
        let note = copies.iter().any(is_doubted).then(|| {
            format!("shard {id} was being recovered when it was copied and may lack points: read another node's copy")
        });
        return Ok((copies, note));
    }
    let (mut whole, partial): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| !is_doubted(copy));
    if whole.is_empty() {
        whole = partial;
    }
    let clocks: Option<Vec<Clocks>> = whole.iter().map(|copy| Clocks::of(copy, limits)).collect::<Result<_>>()?;
    let first = clocks.and_then(|clocks| clocks.iter().position(|own| clocks.iter().all(|other| own.has_seen(other))));
    if whole.len() > 1 && first.is_none() {
        let note = format!(
            "shard {id} is here in {} copies, and none has seen all operations of the others: points are read from all \
             of them, so one that a single copy had deleted is still read",
            whole.len()
        );
        return Ok((whole, Some(note)));
    }
    let copy = whole.swap_remove(first.unwrap_or(0));
    let from = copy.node.map_or_else(|| copy.files.label().to_owned(), |node| format!("node {node}"));
    let note = format!("shard {id} is here in {count} copies: it is read from {from}, which has seen all operations");
    Ok((vec![copy], Some(note)))
}

/// The nodes that any of the copies does not take for whole.
fn doubted(copies: &[ShardCopy]) -> Result<BTreeSet<u64>> {
    let mut doubted = BTreeSet::new();
    for copy in copies {
        let state = json(&copy.files, "replica_state.json")?;
        let peers = state.as_ref().and_then(|state| state.get("peers")).and_then(Value::as_object);
        for (node, state) in peers.into_iter().flatten() {
            let is_whole = state.as_str().is_none_or(|state| state.starts_with("Active") || state == "Listener");
            doubted.extend(node.parse::<u64>().ok().filter(|_| !is_whole));
        }
    }
    Ok(doubted)
}

impl Clocks {
    /// The clocks of a copy, with what its log adds; `None` if it has none.
    fn of(copy: &ShardCopy, limits: &Limits) -> Result<Option<Self>> {
        let mut clocks = Clocks::default();
        let stored = json(&copy.files, "newest_clocks.json")?;
        for clock in
            stored.as_ref().and_then(|stored| stored.get("clocks")).and_then(Value::as_array).into_iter().flatten()
        {
            let number = |key: &str| clock.get(key).and_then(Value::as_u64);
            let all = (number("peer_id"), number("clock_id"), number("current_tick"), number("token"));
            let (Some(node), Some(clock), Some(tick), token) = all else { return Ok(None) };
            clocks.see((node, clock), tick, token.unwrap_or(0));
        }
        if let Some(log) = WalFiles::open(&copy.files.below("wal"), limits)? {
            let mut entries = log.entries();
            while let Some(entry) = entries.next_entry()? {
                // Entries that cannot be decoded are told where they are replayed.
                if let Ok(Some((clock, tick, token))) = clock_tag(&entry.data) {
                    clocks.see(clock, tick, token);
                }
            }
        }
        Ok((!clocks.0.is_empty()).then_some(clocks))
    }

    /// A later tick counts, and the token that came with it.
    fn see(&mut self, clock: (u64, u64), tick: u64, token: u64) {
        let last = self.0.entry(clock).or_insert((tick, token));
        if last.0 < tick {
            *last = (tick, token);
        }
    }

    /// True if this copy has seen every tick of the other one. Clocks of one number and two tokens are not compared.
    fn has_seen(&self, other: &Clocks) -> bool {
        other.0.iter().all(|(clock, (tick, token))| {
            self.0.get(clock).is_some_and(|(own, own_token)| own >= tick && own_token == token)
        })
    }
}

type Tag = ((u64, u64), u64, u64);

fn clock_tag(entry: &[u8]) -> Decoded<Option<Tag>> {
    let mut tag = None;
    entries(&mut Decoder::new(entry), |key, decoder| {
        if key != "clock_tag" || decoder.datatype()? == minicbor::data::Type::Null {
            return decoder.skip();
        }
        let (mut node, mut clock, mut tick, mut token) = (None, None, None, 0);
        entries(decoder, |key, decoder| {
            match key {
                "peer_id" => node = Some(decoder.u64()?),
                "clock_id" => clock = Some(decoder.u64()?),
                "clock_tick" => tick = Some(decoder.u64()?),
                "token" => token = decoder.u64()?,
                _ => decoder.skip()?,
            }
            Ok(())
        })?;
        if let (Some(node), Some(clock), Some(tick)) = (node, clock, tick) {
            tag = Some(((node, clock), tick, token));
        }
        Ok(())
    })?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_seen_another_if_no_clock_of_that_is_ahead() {
        let clocks = |list: &[(u64, u64, u64)]| {
            let mut clocks = Clocks::default();
            list.iter().for_each(|(node, tick, token)| clocks.see((*node, 0), *tick, *token));
            clocks
        };
        let (old, new) = (clocks(&[(1, 5, 9), (2, 3, 9)]), clocks(&[(1, 5, 9), (2, 4, 9), (3, 1, 9)]));
        assert!(new.has_seen(&old) && !old.has_seen(&new) && new.has_seen(&new));
        let apart = clocks(&[(1, 6, 9), (2, 3, 9)]);
        assert!(!apart.has_seen(&new) && !new.has_seen(&apart));
        // A clock that was set anew cannot be compared.
        assert!(!clocks(&[(1, 7, 8), (2, 4, 9)]).has_seen(&old));
    }

    #[test]
    fn the_tag_of_an_entry_is_read_and_a_missing_one_is_none() {
        let mut entry = minicbor::Encoder::new(Vec::new());
        entry.map(2).unwrap().str("create_index").unwrap().null().unwrap().str("clock_tag").unwrap();
        entry.map(4).unwrap().str("peer_id").unwrap().u64(7).unwrap().str("clock_id").unwrap().u32(1).unwrap();
        entry.str("clock_tick").unwrap().u64(30).unwrap().str("token").unwrap().u64(4).unwrap();
        assert_eq!(clock_tag(&entry.into_writer()).unwrap(), Some(((7, 1), 30, 4)));
        assert_eq!(clock_tag(b"\xa1\x69clock_tag\xf6").unwrap(), None);
        assert!(clock_tag(b"\xff").is_err());
    }
}
