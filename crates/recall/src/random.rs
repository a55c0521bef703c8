//! Seeded choices: SplitMix64, so that a sample is a function of its seed on every machine.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).

/// The generator; its state is the seed.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number above 0, up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`, which is not 0; the high product half has a bias below 2^-32 for our bounds.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// `count` different numbers below `population` in random order (all of them where `count` is larger).
pub(crate) fn sample(population: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64(seed);
    let mut numbers: Vec<usize> = (0..population).collect();
    let count = count.min(population);
    for place in 0..count {
        let other = place + random.below(population - place);
        numbers.swap(place, other);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_reference_implementation() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_sample_has_no_number_twice_and_a_full_one_has_all() {
        let mut all = sample(100, 1_000, 7);
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let mut some = sample(1_000, 50, 7);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 50);
    }
}
