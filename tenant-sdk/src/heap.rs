//! The allocator of guests: small pieces from lists, everything else from the system's.
//!
//! A guest lives for a case and has one thread, and most of what it asks for is small: names, ids, words. The system's
//! allocator was a fourth of what a guest did. Pieces that are freed are kept for the next of their size and never given
//! back; the sandbox goes before that matters.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::{copy_nonoverlapping, null_mut};

/// Sizes of pieces are multiples of this, bytes.
const STEP: usize = 16;
/// Largest piece, bytes.
const PIECE_MAX: usize = 512;
/// What pieces are cut from, bytes.
const CHUNK: Layout = match Layout::from_size_align(8 << 10, align_of::<u64>()) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// See the module.
pub(crate) struct Heap {
    /// Freed pieces by size; each begins with the address of the next.
    free: [Cell<*mut u8>; PIECE_MAX / STEP],
    /// Rest of the chunk.
    next: Cell<*mut u8>,
    left: Cell<usize>,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Heap {}

impl Heap {
    pub(crate) const fn new() -> Self {
        Heap {
            free: [const { Cell::new(null_mut()) }; PIECE_MAX / STEP],
            next: Cell::new(null_mut()),
            left: Cell::new(0),
        }
    }
}

/// The place among `free` of pieces of this layout; none where it is no piece's.
fn piece_of(layout: Layout) -> Option<usize> {
    (layout.size() <= PIECE_MAX && layout.align() <= CHUNK.align()).then(|| layout.size().saturating_sub(1) / STEP)
}

// SAFETY: a piece is cut from a chunk once, is at least as large as what was asked for, aligned as chunks are, and given
// out again only after it was freed; all else is the system's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(place) = piece_of(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        let freed = self.free[place].get();
        if !freed.is_null() {
            // SAFETY: a freed piece begins with an address.
            self.free[place].set(unsafe { freed.cast::<*mut u8>().read() });
            return freed;
        }
        let bytes = (place + 1) * STEP;
        if self.left.get() < bytes {
            // SAFETY: a chunk has a size.
            let chunk = unsafe { System.alloc(CHUNK) };
            if chunk.is_null() {
                return chunk;
            }
            self.next.set(chunk);
            self.left.set(CHUNK.size());
        }
        let piece = self.next.get();
        // SAFETY: the chunk has as many bytes left.
        self.next.set(unsafe { piece.add(bytes) });
        self.left.set(self.left.get() - bytes);
        piece
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let Some(place) = piece_of(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.dealloc(piece, layout) };
        };
        // SAFETY: the piece is free, and no piece is smaller or less aligned than an address.
        unsafe { piece.cast::<*mut u8>().write(self.free[place].get()) };
        self.free[place].set(piece);
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size fits the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (piece_of(layout), piece_of(new_layout)) {
            // SAFETY: as the caller promises.
            (None, None) => unsafe { System.realloc(piece, layout, new_size) },
            (old, new) if old == new => piece,
            _ => {
                // SAFETY: as the caller promises; two allocations do not overlap.
                unsafe {
                    let moved = self.alloc(new_layout);
                    if !moved.is_null() {
                        copy_nonoverlapping(piece, moved, layout.size().min(new_size));
                        self.dealloc(piece, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An allocation whose bytes are all its number.
    struct Held {
        at: *mut u8,
        layout: Layout,
        number: u8,
    }

    impl Held {
        fn is_whole(&self) -> bool {
            // SAFETY: it is held and was filled.
            (0..self.layout.size()).all(|n| unsafe { self.at.add(n).read() } == self.number)
        }
    }

    #[test]
    fn what_is_held_is_nobody_elses() {
        let heap = Heap::new();
        let mut state = 11_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut held: Vec<Held> = Vec::new();
        for round in 0..40_000_usize {
            let number = (round % 251) as u8;
            // SAFETY: each allocation is freed once, with the layout it has.
            unsafe {
                if held.len() < 300 && random(2) == 0 {
                    let size = if random(8) == 0 { 1 + random(5_000) } else { 1 + random(600) };
                    let layout = Layout::from_size_align(size, 1 << random(7)).expect("a layout");
                    let at = heap.alloc(layout);
                    assert!(!at.is_null() && (at as usize).is_multiple_of(layout.align()));
                    at.write_bytes(number, size);
                    held.push(Held { at, layout, number });
                } else if !held.is_empty() {
                    let mut one = held.swap_remove(random(held.len()));
                    assert!(one.is_whole(), "round {round}");
                    if random(3) == 0 {
                        let size = 1 + random(1_200);
                        one.at = heap.realloc(one.at, one.layout, size);
                        let kept = size.min(one.layout.size());
                        one.layout = Layout::from_size_align(kept, one.layout.align()).expect("a layout");
                        assert!(one.is_whole(), "round {round}");
                        one.layout = Layout::from_size_align(size, one.layout.align()).expect("a layout");
                        one.at.write_bytes(one.number, size);
                        held.push(one);
                    } else {
                        heap.dealloc(one.at, one.layout);
                    }
                }
            }
        }
        assert!(held.iter().all(Held::is_whole));
        // SAFETY: as above.
        held.iter().for_each(|one| unsafe { heap.dealloc(one.at, one.layout) });
    }

    #[test]
    fn a_freed_piece_is_given_out_again_and_one_that_still_fits_stays() {
        let heap = Heap::new();
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: each piece is freed with a layout of its size.
        unsafe {
            let first = heap.alloc(layout(20));
            assert_eq!(heap.realloc(first, layout(20), 32), first);
            assert_ne!(heap.realloc(first, layout(32), 33), first);
            assert_eq!(heap.alloc(layout(17)), first);
        }
    }
}
