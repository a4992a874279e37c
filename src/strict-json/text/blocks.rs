//! Strings by sixteen bytes at a time.

/// Who is shown the bytes of a string, sixteen at a time.
pub(crate) trait Blocks {
    /// Sixteen more.
    fn next(&mut self, block: [u8; 16]);

    /// The first `length` of a block, less than sixteen: the last there are.
    fn last(&mut self, block: [u8; 16], length: usize);
}

impl Blocks for () {
    fn next(&mut self, _: [u8; 16]) {}

    fn last(&mut self, _: [u8; 16], _: usize) {}
}

/// The first bytes of what may be shorter than a block.
pub(crate) fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut block = [0; 16];
    block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    block
}

/// Where in a block, from a place on, a string ends, an escape begins, or something stands that must not; sixteen where
/// nothing does. Two words at a time, because most strings are shorter, and a branch that is foreseen is free.
#[inline(always)]
pub(super) fn stop(block: [u8; 16], from: usize) -> usize {
    // What is passed becomes what no text stops at.
    let passed = (1u128 << (8 * from)) - 1;
    let block = (u128::from_le_bytes(block) | passed & u128::from_ne_bytes([0x80; 16])).to_le_bytes();
    let ([low, high], _) = block.as_chunks::<8>() else { return 0 };
    let [low, high] = [low, high].map(|word| stops(u64::from_le_bytes(*word)));
    let bits = if low != 0 { low.trailing_zeros() } else { 64 + high.trailing_zeros() };
    bits as usize / 8
}

/// The highest bit of each byte that is a quote, a backslash or a control character; of those behind the first it may
/// say more than there are. Subtracting sets that bit where a byte was below, and what had it before is left out.
#[inline]
const fn stops(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let quotes = (word ^ each(b'"')).wrapping_sub(each(1));
    let backslashes = (word ^ each(b'\\')).wrapping_sub(each(1));
    let controls = word.wrapping_sub(each(b' '));
    (quotes | backslashes | controls) & !word & each(0x80)
}
