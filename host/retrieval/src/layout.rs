//! The fields tantivy keeps of a passage.

use tantivy::schema::{FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions};

/// Field names, where columns are asked for by name.
pub(crate) const LENGTH: &str = "length";
/// See [`LENGTH`].
pub(crate) const RANK_OF_ID: &str = "rank_of_id";
/// See [`LENGTH`].
pub(crate) const IS_REPEAT: &str = "is_repeat";

/// Handles of the fields.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    /// Passage id, kept only.
    pub(crate) id: Field,
    /// Title, kept only.
    pub(crate) title: Field,
    /// Text, kept only.
    pub(crate) text: Field,
    /// Terms with their frequencies, not kept.
    pub(crate) terms: Field,
    /// Exact number of terms.
    pub(crate) length: Field,
    /// Place of the passage id among all ids in the order of their bytes: how ties are broken.
    pub(crate) rank_of_id: Field,
    /// Whether an earlier row has the same title and text.
    pub(crate) is_repeat: Field,
}

/// The schema and its fields; the same at build and at open.
pub(crate) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    // No field norms: they are lengths rounded to one byte, and we have the exact ones.
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(false);
    let fields = Fields {
        id: builder.add_text_field("id", STORED),
        title: builder.add_text_field("title", STORED),
        text: builder.add_text_field("text", STORED),
        terms: builder.add_text_field("terms", TextOptions::default().set_indexing_options(indexing)),
        length: builder.add_u64_field(LENGTH, FAST),
        rank_of_id: builder.add_u64_field(RANK_OF_ID, FAST),
        is_repeat: builder.add_bool_field(IS_REPEAT, FAST),
    };
    (builder.build(), fields)
}
