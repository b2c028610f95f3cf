//! Chance that can be repeated.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses its part")]

/// A random number generator that is good enough to wander with (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    /// A number below another one.
    pub fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below.max(1)
    }

    /// One to four alterations: bits, bytes, pieces left out, doubled, or taken from another seed.
    pub fn alter(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.next(seeds.len())].clone();
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len() + 1);
            let end = (at + self.next(40)).min(bytes.len());
            match self.next(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.next(8),
                1 if at < bytes.len() => bytes[at] = [0, 0xff, b'\n', b' ', b'-', 0x7f, 0x80, b'9'][self.next(8)],
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.next(bytes.len() + 1);
                    drop(bytes.splice(to..to, piece));
                }
                4 => {
                    let other = &seeds[self.next(seeds.len())];
                    let from = self.next(other.len() + 1);
                    let piece = other[from..(from + self.next(200)).min(other.len())].to_vec();
                    drop(bytes.splice(at..end, piece));
                }
                _ => {
                    let byte = u8::try_from(self.next(256)).unwrap();
                    bytes.insert(at, byte);
                }
            }
        }
        bytes
    }
}
