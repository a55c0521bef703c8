//! Steps through the tokens of a statement.
//!
//! Nothing here fails: what does not come next is not taken.

use super::token::Token;

/// A place among tokens.
pub struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> Cursor<'t> {
    /// At the first of `tokens`.
    pub fn new(tokens: &'t [Token]) -> Self {
        Cursor { tokens, at: 0 }
    }

    /// The next token.
    pub fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    /// All tokens from here on.
    pub fn rest(&self) -> &'t [Token] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// Passes over tokens.
    pub fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// The next unquoted word.
    pub fn word(&mut self) -> Option<&'t str> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        self.at += 1;
        Some(word)
    }

    /// The next token, if it is a name.
    pub fn name(&mut self) -> Option<&'t str> {
        let name = self.peek()?.name()?;
        self.at += 1;
        Some(name)
    }

    /// Passes over the word if it comes next.
    pub fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(word));
        self.at += usize::from(found);
        found
    }

    /// Passes over one of the words if it comes next.
    pub fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    /// Passes over the symbol if it comes next.
    pub fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    /// `(a, "B", c)`.
    pub fn name_list(&mut self) -> Option<Vec<String>> {
        let items = self.parenthesised()?;
        Some(items.iter().filter_map(|item| item.first()?.name().map(str::to_owned)).collect())
    }

    /// The items between the parentheses that begin here, without their commas.
    pub fn parenthesised(&mut self) -> Option<Vec<&'t [Token]>> {
        if self.peek() != Some(&Token::Symbol('(')) {
            return None;
        }
        let (mut depth, mut items, mut from) = (0usize, Vec::new(), self.at + 1);
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol('(' | '[') => depth += 1,
                Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                Token::Symbol(',') if depth == 1 => {
                    items.push(self.tokens.get(from..self.at)?);
                    from = self.at + 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
        let last = self.tokens.get(from..self.at.saturating_sub(1)).unwrap_or_default();
        if !last.is_empty() {
            items.push(last);
        }
        Some(items)
    }
}
