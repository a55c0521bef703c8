//! Both compilations of the byte-stream split against the encoding's definition, written out.

use proptest::collection::vec;
use proptest::prelude::*;
use tranship_kernels::{Kernels, join_f32, split_f32};

/// Stream `k` holds byte `k` of every value, the lowest first.
fn by_definition(values: &[f32]) -> Vec<u8> {
    (0..4).flat_map(|byte| values.iter().map(move |value| (value.to_bits() >> (8 * byte)) as u8)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn planes_mut(bytes: &mut [u8]) -> [&mut [u8]; 4] {
    let mut planes = bytes.chunks_exact_mut(bytes.len() / 4);
    std::array::from_fn(|_| planes.next().unwrap())
}

fn planes(bytes: &[u8]) -> [&[u8]; 4] {
    let len = bytes.len() / 4;
    std::array::from_fn(|plane| &bytes[plane * len..(plane + 1) * len])
}

proptest! {
    #[test]
    fn every_bit_pattern_is_split_as_the_format_says_and_comes_back(patterns in vec(any::<u32>(), 1..700)) {
        let values: Vec<f32> = patterns.iter().map(|bits| f32::from_bits(*bits)).collect();
        let expected = by_definition(&values);
        for kernels in [Kernels::detect(), Kernels::portable()] {
            let mut split = vec![0xA5; 4 * values.len()];
            kernels.split_f32(&values, planes_mut(&mut split));
            prop_assert_eq!(&split, &expected, "{}", kernels.name());
            let mut joined = vec![1.0; values.len()];
            kernels.join_f32(planes(&split), &mut joined);
            prop_assert_eq!(bits(&joined), &patterns[..], "{}", kernels.name());
        }
    }
}

#[test]
fn pieces_of_planes_are_filled_and_read_at_their_place() {
    let values: Vec<f32> = (0..100).map(|i| i as f32 / 7.0).collect();
    let mut split = vec![0; 400];
    let mut rest = planes_mut(&mut split);
    for piece in values.chunks(37) {
        split_f32(piece, rest.each_mut().map(|plane| plane.split_off_mut(..piece.len()).unwrap()));
    }
    assert_eq!(split, by_definition(&values));
    let mut middle = [0.0; 11];
    join_f32(planes(&split).map(|plane| &plane[40..51]), &mut middle);
    assert_eq!(middle, values[40..51]);
}
