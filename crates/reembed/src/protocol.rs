//! The lines between tranship and a hook; the user's description is `docs/hooks/README.md`.
//!
//! Invariant: an answer is taken only whole: one row for each text, each of them a vector of the length that the hook
//! stated or a reason. A row with a wrong length or a number that is not finite is a refusal of that one text; everything else that is
//! wrong with a line is a fault of the hook, told by a sentence.

use serde::{Deserialize, Serialize};

use crate::space::Space;

/// The version that this build speaks.
pub const VERSION: u64 = 1;

/// Our first line.
pub fn greeting(batch: usize) -> String {
    format!("{{\"tranship_hook\":{VERSION},\"batch\":{batch}}}\n")
}

/// One batch of texts.
pub fn question(batch: u64, texts: &[&str]) -> String {
    #[derive(Serialize)]
    struct Question<'a> {
        batch: u64,
        texts: &'a [&'a str],
    }
    // Strings always become JSON.
    let mut line = serde_json::to_string(&Question { batch, texts }).unwrap_or_default();
    line.push('\n');
    line
}

/// The hook's first line: its space, or what is wrong with it.
pub fn greeted(line: &str) -> Result<Space, String> {
    #[derive(Deserialize)]
    struct Greeting {
        tranship_hook: u64,
        #[serde(flatten)]
        space: Space,
    }
    let version =
        serde_json::from_str::<serde_json::Value>(line).ok().and_then(|value| value["tranship_hook"].as_u64());
    match version {
        Some(VERSION) => {}
        Some(other) => return Err(format!("speaks version {other} of the protocol, not {VERSION}")),
        None => return Err(format!("did not begin with its version line, but with {}", shortened(line))),
    }
    let greeting: Greeting =
        serde_json::from_str(line).map_err(|e| format!("says in its version line what is not understood: {e}"))?;
    debug_assert_eq!(greeting.tranship_hook, VERSION);
    match greeting.space {
        Space { dims: 0, .. } => Err("says that its vectors have no dimensions".to_owned()),
        Space { ref model, .. } if model.trim().is_empty() => Err("does not name its model".to_owned()),
        space => Ok(space),
    }
}

/// What came back for one text.
pub type Row = Result<Vec<f32>, String>;

/// An answer, or the hook's word that the whole batch failed and may be asked again.
#[derive(Debug)]
pub struct Answer {
    /// Number of the batch.
    pub batch: u64,
    /// One row for each text, with its tokens where the hook counts them.
    pub rows: Result<Vec<(Row, Option<u32>)>, String>,
}

#[derive(Deserialize)]
struct Line {
    batch: u64,
    #[serde(default)]
    vectors: Vec<Option<Vec<Option<f32>>>>,
    #[serde(default)]
    errors: Option<Vec<Option<String>>>,
    #[serde(default)]
    tokens: Option<Vec<u32>>,
    #[serde(default)]
    error: Option<String>,
}

/// Reads an answer to a batch of as many texts as `asked` says for its number.
pub fn answered(line: &str, dims: usize, asked: impl Fn(u64) -> Option<usize>) -> Result<Answer, String> {
    let read = |text: &str| serde_json::from_str::<Line>(text);
    // Python writes what JSON has no word for.
    let parsed = read(line).or_else(|error| {
        if !line.contains("NaN") && !line.contains("Infinity") {
            return Err(error);
        }
        read(&line.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")).map_err(|_| error)
    });
    let found = parsed.map_err(|e| format!("answered with what is no answer ({e}): {}", shortened(line)))?;
    let texts = asked(found.batch).ok_or_else(|| format!("answered batch {}, which is not asked", found.batch))?;
    if let Some(reason) = found.error {
        return Ok(Answer { batch: found.batch, rows: Err(reason) });
    }
    if found.vectors.len() != texts {
        return Err(format!("answered {} rows to the {texts} texts of batch {}", found.vectors.len(), found.batch));
    }
    let lists = [found.errors.as_ref().map(Vec::len), found.tokens.as_ref().map(Vec::len)];
    if lists.into_iter().flatten().any(|length| length != texts) {
        return Err(format!(
            "answered errors or tokens of another number than the {texts} texts of batch {}",
            found.batch
        ));
    }
    let mut errors = found.errors.unwrap_or_default().into_iter();
    let mut tokens = found.tokens.unwrap_or_default().into_iter();
    let rows = found.vectors.into_iter().map(|vector| (row(vector, errors.next().flatten(), dims), tokens.next()));
    Ok(Answer { batch: found.batch, rows: Ok(rows.collect()) })
}

fn row(vector: Option<Vec<Option<f32>>>, error: Option<String>, dims: usize) -> Row {
    if let Some(reason) = error {
        return Err(format!("the hook says: {reason}"));
    }
    let vector = vector.ok_or("the hook gave neither a vector nor a reason")?;
    if vector.len() != dims {
        return Err(format!("the hook gave {} dimensions and had stated {dims}", vector.len()));
    }
    let finite: Option<Vec<f32>> = vector.into_iter().map(|value| value.filter(|value| value.is_finite())).collect();
    finite.ok_or_else(|| "the hook gave NaN or infinity".to_owned())
}

/// The beginning of a line, for a message.
pub fn shortened(line: &str) -> String {
    let start: String = line.trim_end().chars().take(80).collect();
    if start.len() < line.trim_end().len() { format!("`{start}`..") } else { format!("`{start}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(line: &str) -> Vec<Row> {
        answered(line, 2, |_| Some(2)).unwrap().rows.unwrap().into_iter().map(|(row, _)| row).collect()
    }

    #[test]
    fn what_is_wrong_with_one_text_leaves_the_others() {
        assert_eq!(
            rows(r#"{"batch":1,"vectors":[[1,2.5],null],"errors":[null,"empty"]}"#),
            [Ok(vec![1.0, 2.5]), Err("the hook says: empty".to_owned())]
        );
        let found = rows(r#"{"batch":1,"vectors":[[1,NaN],[1,2,3]]}"#);
        assert!(found[0].as_ref().unwrap_err().contains("NaN") && found[1].as_ref().unwrap_err().contains("3 dim"));
        assert!(rows(r#"{"batch":1,"vectors":[[1,1e39],[1,2]]}"#)[0].is_err());
    }

    #[test]
    fn a_line_that_is_no_answer_is_a_fault_of_the_hook() {
        for line in
            ["hello", "{}", r#"{"batch":1,"vectors":[[1,2]]}"#, r#"{"batch":1,"vectors":[[1,2],[1,2]],"tokens":[1]}"#]
        {
            assert!(answered(line, 2, |_| Some(2)).is_err(), "{line}");
        }
        assert!(
            answered(r#"{"batch":9,"vectors":[]}"#, 2, |batch| (batch < 9).then_some(2))
                .unwrap_err()
                .contains("not asked")
        );
        assert!(answered(r#"{"batch":1,"error":"429"}"#, 2, |_| Some(2)).unwrap().rows.is_err());
    }

    #[test]
    fn a_greeting_names_version_model_and_dimensions() {
        let space = greeted(r#"{"tranship_hook":1,"model":"m","dims":3,"normalised":true}"#).unwrap();
        assert_eq!((space.model.as_str(), space.dims, space.normalised), ("m", 3, true));
        for (line, part) in [
            ("Loading..", "did not begin"),
            (r#"{"tranship_hook":2}"#, "version 2"),
            (r#"{"tranship_hook":1,"model":"m"}"#, "dims"),
            (r#"{"tranship_hook":1,"model":" ","dims":3}"#, "name its model"),
            (r#"{"tranship_hook":1,"model":"m","dims":0}"#, "no dimensions"),
        ] {
            assert!(greeted(line).unwrap_err().contains(part), "{line}");
        }
    }
}
