//! A [`Converter`] as the contract's `converter` export.

use crate::bindings::converter::exports::fapo::tenant::converter as export;
use crate::converter::{Conversion, Converter, Target};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;

thread_local! {
    /// The conversion of this instance: one instance reads one set of files.
    static AT_WORK: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The `converter` export of a component whose converter is `C`.
pub struct ConverterExport<C>(PhantomData<C>);

fn at_work<C: Converter, T>(work: impl FnOnce(&mut Conversion<C>) -> T) -> T {
    AT_WORK.with_borrow_mut(|slot| {
        let any = slot.get_or_insert_with(|| Box::new(Conversion::<C>::default()));
        match any.downcast_mut() {
            Some(conversion) => work(conversion),
            None => unreachable!("a component has one converter"),
        }
    })
}

impl<C: Converter> export::Guest for ConverterExport<C> {
    fn describe() -> export::Description {
        let described = C::describe();
        let known = described.known.into_iter().map(|(name, sha256)| export::KnownFile { name, sha256 }).collect();
        export::Description { reads: described.reads, known }
    }

    fn read(file: String, bytes: Vec<u8>, last: bool) -> Result<(), String> {
        at_work::<C, _>(|conversion| conversion.read(&file, &bytes, last))
    }

    fn finish(splits: bool) -> Result<(), String> {
        at_work::<C, _>(|conversion| conversion.finish(splits))
    }

    fn take() -> Option<export::Rows> {
        let (target, lines) = at_work::<C, _>(Conversion::take)?;
        let target = match target {
            Target::Train => export::Target::Train,
            Target::Validation => export::Target::Validation,
            Target::Test => export::Target::Test,
            Target::All => export::Target::All,
            Target::Corpus => export::Target::Corpus,
        };
        Some(export::Rows { target, lines })
    }
}
