use super::*;

fn reader(text: &str) -> Reader<&[u8]> {
    Reader::new(text.as_bytes())
}

/// Gives a byte at a time: every token is cut by the end of a block.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some((&byte, rest)) = self.0.split_first() else { return Ok(0) };
        into[0] = byte;
        self.0 = rest;
        Ok(1)
    }
}

fn message(error: Error) -> String {
    match error {
        Error::Syntax { what, position } => format!("{position}: {what}"),
        Error::Io(error) => error.to_string(),
    }
}

/// All numbers of an array, however the text is cut.
fn numbers(text: &str) -> Vec<f64> {
    fn all<R: Read>(mut reader: Reader<R>) -> Vec<f64> {
        let mut numbers = Vec::new();
        reader
            .array(|reader| {
                numbers.push(reader.number()?);
                Ok(())
            })
            .unwrap();
        reader.finish().unwrap();
        numbers
    }
    let whole = all(reader(text));
    let dripping = all(Reader::new(Dripping(text.as_bytes())));
    assert_eq!(bits(&whole), bits(&dripping));
    whole
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn numbers_are_the_nearest_f64() {
    let written = [
        "0",
        "-0",
        "0.1",
        "473.07",
        "-12.5",
        "1e3",
        "2.5E-3",
        "9007199254740993",
        "9007199254740993.0",
        "123456789012345678901234567890",
        "0.30000000000000004",
        "1.7976931348623157e308",
        "5e-324",
        "0.000000000000000000000001",
        "12345678901234567.8",
        "100000000000000000000000",
        "1e400",
    ];
    let read = numbers(&format!("[{}]", written.join(", ")));
    let parsed: Vec<f64> = written.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(bits(&read), bits(&parsed));
}

#[test]
fn random_decimals_are_the_nearest_f64() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    };
    let written: Vec<String> = (0..20_000)
        .map(|_| {
            let (whole, fraction) = (next() >> (next() % 40), next());
            let digits = (next() % 22) as usize;
            match digits {
                0 => format!("{whole}"),
                digits => format!("{whole}.{:0<digits$.digits$}", fraction.to_string()),
            }
        })
        .collect();
    let parsed: Vec<f64> = written.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(bits(&numbers(&format!("[{}]", written.join(",")))), bits(&parsed));
}

#[test]
fn numbers_that_python_writes() {
    let read = numbers("[NaN,Infinity,-Infinity]");
    assert!(read[0].is_nan());
    assert_eq!(read[1..], [f64::INFINITY, f64::NEG_INFINITY]);
}

#[test]
fn integers_lose_nothing() {
    for (text, value) in [
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("9007199254740993", 9_007_199_254_740_993),
        ("12.0", 12),
        ("1e3", 1000),
        ("0", 0),
    ] {
        assert_eq!(reader(text).integer().unwrap(), value, "{text}");
    }
    for (text, expected) in [
        (
            "9223372036854775808",
            "line 1, column 20: 9223372036854775808, which ends here, is beyond the integers of 64 bits",
        ),
        ("\n 1.5", "line 2, column 5: expected an integer, and 1.5 ends here"),
        ("\"1\"", "line 1, column 1: expected a number, found a string"),
        ("NaN", "line 1, column 4: expected an integer, and NaN ends here"),
    ] {
        assert_eq!(message(reader(text).integer().unwrap_err()), expected);
    }
}

#[test]
fn strings_with_escapes() {
    for (text, value) in [
        (r#""a\"b\\c\/d\b\f\n\r\t""#, "a\"b\\c/d\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\ud83d\ude00x""#, "é😀x"),
        ("\"ünï\"", "ünï"),
        ("\"\"", ""),
    ] {
        assert_eq!(reader(text).string().unwrap(), value);
        assert_eq!(Reader::new(Dripping(text.as_bytes())).string().unwrap(), value);
        reader(text).skip().unwrap();
    }
    for text in [
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\ud83dA""#,
        r#""\udc00""#,
        r#""\x""#,
        r#""\u12g4""#,
        "\"a\nb\"",
        "\"ab",
    ] {
        assert!(reader(text).string().is_err(), "{text}");
        assert!(reader(text).skip().is_err(), "{text}");
    }
    assert!(Reader::new(&b"\"\xff\""[..]).string().is_err());
}

#[test]
fn what_is_skipped_is_checked() {
    for text in [
        "{}",
        "[]",
        "[[],{},[1,-2.5e+3,\"a\\\\\"],true,false,null]",
        r#"{"a":{"b":[1]},"c":0}"#,
        "0",
        "-1.0e9",
    ] {
        for mut reader in [
            Reader::new(Box::new(text.as_bytes()) as Box<dyn Read>),
            Reader::new(Box::new(Dripping(text.as_bytes()))),
        ] {
            reader.skip().unwrap_or_else(|error| panic!("{text}: {}", message(error)));
            reader.finish().unwrap();
        }
    }
    for text in [
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "nul",
        "[",
        "{\"a\":",
        "",
        "[1,2",
        "--1",
        "1.e5",
        "[\"a]",
        "-N",
    ] {
        let skipped = |mut reader: Reader<Box<dyn Read>>| reader.skip().and_then(|()| reader.finish());
        assert!(skipped(Reader::new(Box::new(text.as_bytes()))).is_err(), "{text}");
        assert!(skipped(Reader::new(Box::new(Dripping(text.as_bytes())))).is_err(), "{text}");
    }
}

#[test]
fn errors_say_where() {
    let text = "{\n  \"a\": [1,\n    2,,\n  ]}";
    assert_eq!(message(reader(text).skip().unwrap_err()), "line 3, column 7: expected a value, found `,`");
    let mut dripping = Reader::new(Dripping(text.as_bytes()));
    assert_eq!(message(dripping.skip().unwrap_err()), "line 3, column 7: expected a value, found `,`");
    assert_eq!(
        message(reader("[1").skip().unwrap_err()),
        "line 1, column 3: expected `,` or `]`, found the end of the file"
    );
}

#[test]
fn brackets_without_end_are_refused() {
    let text = "[".repeat(100_000);
    assert!(message(reader(&text).skip().unwrap_err()).contains("more than 256 arrays"));
}

#[test]
fn raw_values_are_what_is_written() {
    let text = "{ \"a\" : [ 1.50, \"x\\u00e9 y\" , { } ] ,\n \"b\" : 2 }";
    let mut whole = Vec::new();
    reader(text).raw(&mut whole).unwrap();
    assert_eq!(String::from_utf8(whole).unwrap(), r#"{"a":[1.50,"x\u00e9 y",{}],"b":2}"#);
    let mut values = Vec::new();
    reader(text)
        .object(|reader, key| {
            let mut raw = key.as_bytes().to_vec();
            raw.push(b'=');
            reader.raw(&mut raw)?;
            values.push(String::from_utf8(raw).unwrap());
            Ok(())
        })
        .unwrap();
    assert_eq!(values, [r#"a=[1.50,"x\u00e9 y",{}]"#, "b=2"]);
}

#[test]
fn positions_count_across_blocks() {
    let mut text = "[\n".to_string();
    for _ in 0..100_000 {
        text.push_str("1234567,\n");
    }
    text.push_str("x]");
    assert_eq!(
        message(reader(&text).skip().unwrap_err()),
        "line 100002, column 1: expected a value, found `x`"
    );
}
