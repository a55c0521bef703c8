//! Memory is bounded by `--memory`, whatever the input.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use tranship_testkit::{Random, Tranship};

use crate::support::locator;

/// Peak resident memory of a run in MiB, and its exit code.
fn peak(arguments: &[&str]) -> (u64, i32) {
    const PROGRAM: &str = "import resource,subprocess,sys\nr=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss//1024, r.returncode)\nsys.stderr.buffer.write(r.stderr)";
    let out = Command::new("python3")
        .args(["-c", PROGRAM])
        .arg(Tranship::path())
        .args(arguments)
        .env("TRANSHIP_PROGRESS", "none")
        .output()
        .expect("python3 starts");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(|n| n.parse().expect("two numbers"));
    let (peak, code) = (numbers.next().unwrap(), numbers.next().unwrap() as i32);
    println!("peak {peak} MiB, exit {code}: {arguments:?} {}", String::from_utf8_lossy(&out.stderr));
    (peak, code)
}

fn write_lines(path: &Path, rows: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut random = Random::new(3);
    for row in 0..rows {
        let vector: Vec<String> = (0..16).map(|_| random.unit().to_string()).collect();
        let document = "some words that a document might have ".repeat(2);
        writeln!(
            file,
            "{{\"id\":\"doc-{row}\",\"vector\":[{}],\"metadata\":{{\"row\":{row},\"tag\":\"t{}\"}},\"document\":\"{document}\"}}",
            vector.join(","),
            row % 17
        )
        .unwrap();
    }
}

#[test]
fn peak_memory_stays_below_the_budget_and_is_flat_from_100k_to_1m_records() {
    let dir = tempfile::tempdir().unwrap();
    let mut peaks = Vec::new();
    for rows in [100_000, 1_000_000] {
        let lines = dir.path().join("in.jsonl");
        write_lines(&lines, rows);
        // One thread, so that what is compared is the input's size and not how many splits there are to run at once.
        let single = round_trip(dir.path(), &lines, "1");
        let double = round_trip(dir.path(), &lines, "2");
        assert!(double.iter().all(|peak| *peak < 256 + 128), "{rows} records on two threads: {double:?} MiB");
        peaks.push(single);
    }
    for (small, large) in peaks[0].iter().zip(peaks[1]) {
        // The smaller input does not fill one split; what a full one takes is the difference that is allowed.
        assert!(large <= small + 48, "{peaks:?} MiB: grows with the input");
    }
}

/// Peaks in MiB of JSON lines -> archive, archive -> JSON lines, and the proof that both are equal.
fn round_trip(dir: &Path, lines: &Path, threads: &str) -> [u64; 3] {
    let (archive, back) = (dir.join("a.tranship"), dir.join("back.jsonl"));
    let limits = ["--memory", "256MiB", "--threads", threads];
    let run = |arguments: &[&str]| {
        let (peak, code) = peak(&[arguments, &limits].concat());
        assert_eq!(code, 0, "{arguments:?}");
        peak
    };
    let into = run(&["convert", &locator("jsonl", lines), &locator("archive", &archive)]);
    let out = run(&["convert", &locator("archive", &archive), &locator("jsonl", &back)]);
    let proof = run(&["verify", &locator("jsonl", &back), &locator("archive", &archive)]);
    std::fs::remove_dir_all(&archive).unwrap();
    std::fs::remove_file(&back).unwrap();
    [into, out, proof]
}

#[test]
fn a_line_without_end_is_a_named_limit_and_not_a_full_memory() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("long.jsonl");
    let file = std::fs::File::create(&lines).unwrap();
    // 1 GiB that takes no space on disk.
    file.set_len(1 << 30).unwrap();
    drop(file);
    let (mib, code) =
        peak(&["convert", &locator("jsonl", &lines), &locator("archive", &dir.path().join("a.tranship"))]);
    assert!(matches!(code, 11 | 12 | 14), "exit {code}");
    assert!(mib < 512, "{mib} MiB");
}

#[test]
fn a_million_vectors_of_128_dimensions_are_compared_in_half_a_gibibyte() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, dim) = (1_000_000u32, 128u32);
    let write = |name: &str, added: f32| {
        let path = dir.path().join(name);
        let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
        file.write_all(&[rows.to_le_bytes(), dim.to_le_bytes()].concat()).unwrap();
        let mut row = vec![0u8; 4 * dim as usize];
        for number in 0..rows {
            row[..4].copy_from_slice(&(number as f32 + added).to_le_bytes());
            row[508..].copy_from_slice(&(number as f32 / 7.0).to_le_bytes());
            file.write_all(&row).unwrap();
        }
        file.flush().unwrap();
        locator("arrays", &path)
    };
    let (a, b) = (write("a.fbin", 0.0), write("b.fbin", 0.5));
    let (equal, code) = peak(&["verify", &a, &a, "--memory", "512MiB"]);
    assert_eq!(code, 0);
    // Every record differs, so the second pass takes all of them.
    let (different, code) = peak(&["verify", &a, &b, "--memory", "512MiB"]);
    assert_eq!(code, 1);
    assert!(equal.max(different) < 512, "{equal} and {different} MiB");
}
