//! The raw component with bytes of its core module changed to what no compiler writes.

use crate::support::raw_guest;
use std::sync::Arc;

/// The function of the raw component that becomes the `start` of its module.
const START: &str = "at_start";

/// `table.grow` of table 0 by a hundred million elements, and `unreachable` where that is refused.
#[rustfmt::skip]
pub(super) const GROW_TABLE: &[u8] = &[
    0x00, 0xd0, 0x70, 0x41, 0x80, 0xc2, 0xd7, 0x2f, 0xfc, 0x0f, 0x00, 0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b, 0x0b,
];

/// Reads numbers of variable length.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        taken
    }

    fn sized(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(length)
    }

    fn done(&self) -> bool {
        self.at == self.bytes.len()
    }
}

fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

/// Sections behind the eight bytes that every module and component begins with.
fn sections(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut reader = Reader { bytes, at: 8 };
    let mut found = Vec::new();
    while !reader.done() {
        let id = reader.take(1)[0];
        found.push((id, reader.sized().to_vec()));
    }
    found
}

fn joined(head: &[u8], sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = head[..8].to_vec();
    for (id, content) in sections {
        bytes.push(*id);
        bytes.extend(sized(content));
    }
    bytes
}

/// The raw component whose core module runs [`START`] while it is instantiated, with `body` in the place of the
/// function's own where one is given.
pub(super) fn starting(body: Option<&[u8]>) -> Arc<[u8]> {
    let component = std::fs::read(raw_guest()).expect("the component");
    let mut outer = sections(&component);
    let main = outer.iter_mut().filter(|(id, _)| *id == 1).max_by_key(|(_, module)| module.len()).expect("a module");
    main.1 = module(&main.1, body);
    joined(&component, &outer).into()
}

fn module(bytes: &[u8], body: Option<&[u8]>) -> Vec<u8> {
    let mut sections = sections(bytes);
    let content = |sections: &[(u8, Vec<u8>)], id: u8| {
        sections.iter().find(|section| section.0 == id).map(|section| section.1.clone()).unwrap_or_default()
    };
    let function = exported(&content(&sections, 7));
    let defined = function - imported(&content(&sections, 2));
    if let Some(body) = body {
        let section = |id: u8| move |section: &&mut (u8, Vec<u8>)| section.0 == id;
        let code = sections.iter_mut().find(section(10)).expect("code");
        code.1 = replaced(&code.1, defined, body);
        // One table that may grow: element type, no maximum, and the least size it had.
        let table = sections.iter_mut().find(section(4)).expect("a table");
        let mut reader = Reader { bytes: &table.1, at: 3 };
        table.1 = [vec![1, 0x70, 0], number(reader.number())].concat();
    }
    let behind = sections.iter().position(|(id, _)| *id == 9 || *id == 10).expect("elements or code");
    sections.insert(behind, (8, number(function)));
    joined(bytes, &sections)
}

/// The index of the exported function [`START`].
fn exported(exports: &[u8]) -> usize {
    let mut reader = Reader { bytes: exports, at: 0 };
    for _ in 0..reader.number() {
        let (name, kind, index) = (reader.sized(), reader.take(1)[0], reader.number());
        if name == START.as_bytes() && kind == 0 {
            return index;
        }
    }
    panic!("the raw component does not export {START}")
}

/// How many functions a module imports; this one imports nothing else.
fn imported(imports: &[u8]) -> usize {
    let mut reader = Reader { bytes: imports, at: 0 };
    if imports.is_empty() {
        return 0;
    }
    let count = reader.number();
    for _ in 0..count {
        let _ = (reader.sized(), reader.sized());
        assert_eq!(reader.take(1)[0], 0, "a function is imported");
        reader.number();
    }
    count
}

/// Code with another body for one of its functions.
fn replaced(code: &[u8], at: usize, body: &[u8]) -> Vec<u8> {
    let mut reader = Reader { bytes: code, at: 0 };
    let count = reader.number();
    let mut bytes = number(count);
    for n in 0..count {
        let own = reader.sized();
        bytes.extend(sized(if n == at { body } else { own }));
    }
    bytes
}
