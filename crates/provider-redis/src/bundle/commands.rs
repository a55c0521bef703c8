//! Commands as a client sends them: `*COUNT\r\n`, then per argument `$LENGTH\r\n` and its bytes, `\r\n`.
//!
//! Any byte may stand in an argument. Errors are reasons for a reader to locate.
//! Source: Redis documentation, RESP.

/// Appends a command.
pub fn append<A: AsRef<[u8]>>(arguments: &[A], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        let bytes = argument.as_ref();
        out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

/// The arguments of the command in front of `bytes`, and its length.
pub fn parse(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), String> {
    let (count, mut rest) = header(bytes, b'*')?;
    if count > rest.len() / 4 {
        return Err("the file ends within a command".to_owned());
    }
    let mut arguments = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, behind) = header(rest, b'$')?;
        let (argument, behind) = behind.split_at_checked(len).ok_or("the file ends within an argument")?;
        rest = behind.strip_prefix(b"\r\n").ok_or("an argument does not end where its length says")?;
        arguments.push(argument);
    }
    Ok((arguments, bytes.len() - rest.len()))
}

fn header(bytes: &[u8], mark: u8) -> Result<(usize, &[u8]), String> {
    let wrong = || format!("no `{}` with a number where a command has one", char::from(mark));
    let rest = bytes.strip_prefix(&[mark]).ok_or_else(wrong)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, behind) = rest.split_at(digits.min(19));
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    Ok((number, behind.strip_prefix(b"\r\n").ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_parsed_as_it_was_written_and_no_part_of_it_is() {
        let mut bytes = Vec::new();
        append(&[&b"HSET"[..], b"", b"\r\n$3\r\n\0\xff"], &mut bytes);
        assert_eq!(bytes, b"*3\r\n$4\r\nHSET\r\n$0\r\n\r\n$8\r\n\r\n$3\r\n\0\xff\r\n");
        let (arguments, len) = parse(&bytes).unwrap();
        assert_eq!((arguments, len), (vec![&b"HSET"[..], b"", b"\r\n$3\r\n\0\xff"], bytes.len()));
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_err(), "{end}");
        }
        for wrong in
            [&b"*99999999999999999999\r\n"[..], b"*4000000000\r\n", b"*-1\r\n", b"*1\r\n$2\r\nabc\r\n", b"HSET"]
        {
            assert!(parse(wrong).is_err());
        }
    }
}
