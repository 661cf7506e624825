//! From text to terms, as `bm25s` does it for English.
//!
//! Lower case, runs of two or more word characters, without 33 stop words, Snowball English. Accents stay.

use std::borrow::Cow;
use tantivy::tokenizer::{
    Language, Stemmer, StopWordFilter, TextAnalyzer, Token, TokenStream as TantivyTokenStream, Tokenizer,
};

/// Name of this analysis in manifests.
pub(crate) const NAME: &str = "words2-stop33-snowball-english";
/// Raised with every change of the terms that come out.
pub(crate) const VERSION: u32 = 1;

/// Dropped before stemming: the English list that Lucene and bm25s share.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];

/// The text of a passage that is indexed.
pub(crate) fn indexed_text<'a>(title: &str, text: &'a str) -> Cow<'a, str> {
    if title.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{title} | {text}")) }
}

/// Turns texts into terms. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Analyser(TextAnalyzer);

impl Analyser {
    pub(crate) fn new() -> Self {
        let stop_words = StopWordFilter::remove(STOP_WORDS.map(str::to_owned));
        Analyser(TextAnalyzer::builder(Words).filter(stop_words).filter(Stemmer::new(Language::English)).build())
    }

    /// Terms in the order of the text, with repeats.
    pub(crate) fn terms(&mut self, text: &str) -> Vec<Token> {
        let mut terms = Vec::new();
        self.each_term(text, &mut |token| terms.push(token.clone()));
        terms
    }

    /// Hands out the same terms one by one.
    pub(crate) fn each_term(&mut self, text: &str, take: &mut dyn FnMut(&Token)) {
        // Before the split, because a lower-case letter may be longer than its upper case and break a word.
        self.0.token_stream(&text.to_lowercase()).process(take);
    }
}

/// Runs of two or more word characters: the regular expression `\b\w\w+\b`, by hand because compiled it halves speed.
#[derive(Clone)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { rest: text, token: Token::default() }
    }
}

struct WordStream<'a> {
    rest: &'a str,
    token: Token,
}

impl TantivyTokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while let Some(start) = self.rest.find(is_word_character) {
            let from_start = &self.rest[start..];
            let end = from_start.find(|c| !is_word_character(c)).unwrap_or(from_start.len());
            let word = &from_start[..end];
            self.rest = &from_start[end..];
            if word.chars().nth(1).is_some() {
                self.token.text.clear();
                self.token.text.push_str(word);
                self.token.position = self.token.position.wrapping_add(1);
                return true;
            }
        }
        false
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        Analyser::new().terms(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn text_becomes_terms() {
        let table: [(&str, &[&str]); 13] = [
            ("", &[]),
            ("  .,; ", &[]),
            ("x", &[]),
            ("xy", &["xy"]),
            ("The Lamp is NOT with them", &["lamp", "them"]),
            ("Lighthouses, lighthouse's keepers", &["lighthous", "lighthous", "keeper"]),
            ("built in 1874 b 7", &["built", "1874"]),
            ("snake_case __ _", &["snake_cas", "__"]),
            ("Café naïve Öl", &["café", "naïv", "öl"]),
            ("ΣΊΣΥΦΟΣ", &["σίσυφος"]),
            ("日本 語", &["日本"]),
            ("İstanbul", &["stanbul"]),
            ("running-running", &["run", "run"]),
        ];
        for (text, expected) in table {
            assert_eq!(terms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn each_stop_word_is_dropped_before_stemming() {
        assert!(terms(&STOP_WORDS.join(" ")).is_empty());
        // "thes" would be no stop word after stemming, "ins" is none before.
        assert_eq!(terms("ins"), ["in"]);
    }

    #[test]
    fn a_missing_title_leaves_the_text_alone() {
        assert_eq!(indexed_text("", "text"), "text");
        assert_eq!(indexed_text("Title", "text"), "Title | text");
    }
}
