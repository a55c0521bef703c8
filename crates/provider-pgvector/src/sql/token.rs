//! Tokens of one statement.
//!
//! Errors: none; an unclosed quote ends with the text.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word or number that is not quoted, in lower case.
    Word(String),
    /// A quoted identifier, without its quotes.
    Quoted(String),
    /// The value of a string of any kind.
    Text(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// True for the unquoted word `word`.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(own) if own == word)
    }

    /// The name that stands here, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// The text before the first token of `text` (comments and white space), and the rest.
pub fn split_comments(text: &str) -> (&str, &str) {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let after = match rest {
            _ if rest.starts_with("--") => rest.split_once('\n').map_or("", |(_, after)| after),
            _ if rest.starts_with("/*") => after_block_comment(rest),
            _ => return text.split_at(text.len() - rest.len()),
        };
        rest = after;
    }
}

/// All tokens of `text`.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = split_comments(text).1;
    while let Some(first) = rest.chars().next() {
        let (token, after) = one(first, rest);
        found.push(token);
        rest = split_comments(after).1;
    }
    found
}

fn one(first: char, rest: &str) -> (Token, &str) {
    let behind = rest.get(first.len_utf8()..).unwrap_or("");
    match first {
        '"' => {
            let (name, after) = quoted('"', false, behind);
            (Token::Quoted(name), after)
        }
        '\'' => {
            let (text, after) = quoted('\'', false, behind);
            (Token::Text(text), after)
        }
        'e' | 'E' if behind.starts_with('\'') => {
            let (text, after) = quoted('\'', true, behind.get(1..).unwrap_or(""));
            (Token::Text(text), after)
        }
        '$' => dollar_quoted(rest).unwrap_or((Token::Symbol('$'), behind)),
        _ if is_word(first) => {
            let end = rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            (Token::Word(word.to_lowercase()), after)
        }
        _ => (Token::Symbol(first), behind),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

/// What stands before the closing `quote`, doubled ones halved, and the text behind it.
fn quoted(quote: char, escapes: bool, text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return (value, text.get(at + 1..).unwrap_or(""));
            }
        } else if c == '\\' && escapes && let Some((_, next)) = chars.next() {
            value.push(next);
            continue;
        }
        value.push(c);
    }
    (value, "")
}

fn dollar_quoted(text: &str) -> Option<(Token, &str)> {
    let end_of_tag = text.get(1..)?.find('$')? + 2;
    let tag = text.get(..end_of_tag)?;
    if tag.get(1..end_of_tag - 1)?.chars().any(|c| !is_word(c)) {
        return None;
    }
    let body = text.get(end_of_tag..)?;
    Some(match body.split_once(tag) {
        Some((value, after)) => (Token::Text(value.to_owned()), after),
        None => (Token::Text(body.to_owned()), ""),
    })
}

/// What follows the block comment at the start of `text`; comments nest.
fn after_block_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth.saturating_sub(1), at + 2);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    text.get(at..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_postgresql_sees() {
        let found = tokens("-- c\n/* /* x */ ; */ COPY app.\"Docs \"\"odd\" (Id, 'a''b', E'a\\'b', $x$ $$ $x$) 12;");
        let text = |t: &str| Token::Text(t.to_owned());
        let word = |t: &str| Token::Word(t.to_owned());
        let expected = [
            word("copy"),
            word("app"),
            Token::Symbol('.'),
            Token::Quoted("Docs \"odd".to_owned()),
            Token::Symbol('('),
            word("id"),
            Token::Symbol(','),
            text("a'b"),
            Token::Symbol(','),
            text("a'b"),
            Token::Symbol(','),
            text(" $$ "),
            Token::Symbol(')'),
            word("12"),
            Token::Symbol(';'),
        ];
        assert_eq!(found, expected);
        for unclosed in ["'abc", "\"abc", "$a$ b", "/* a", "$a", "E'a\\"] {
            tokens(unclosed);
        }
    }
}
