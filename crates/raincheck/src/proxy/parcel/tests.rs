//! What goes in and what comes out.

use super::*;

fn parcel(key: Option<&str>, cookie: Option<&str>) -> Parcel {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("expect", "100-continue"),
        ("prefer", "respond-async, return=minimal"),
        ("x-list", "a"),
        ("x-list", "b"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    for (name, value) in [("idempotency-key", key), ("cookie", cookie)] {
        if let Some(value) = value {
            headers.append(name, value.parse().unwrap());
        }
    }
    Parcel::of(&Method::POST, &"http://x/a%2Fb?c=d".parse().unwrap(), &headers)
}

#[test]
fn a_request_comes_out_as_it_went_in_but_for_its_hop() {
    let mut kept = parcel(None, Some("a=b"));
    kept.unsafe_too = true;
    kept.peer = Some(([127, 0, 0, 1], 7246).into());
    let safe = Safe::sample();
    assert!(kept.opens_doors() && !parcel(None, None).opens_doors());
    let input = kept.input(Bytes::from_static(b"{}"), Some(&safe));
    assert_eq!(input.content_type.as_deref(), Some("application/json"));
    assert!(Parcel::is_sealed(&input) && !format!("{input:?}").contains("a=b"));
    for other in [None, Some(&Safe::other())] {
        assert_eq!(Parcel::read(&input, other).unwrap_err(), NoParcel::Sealed);
    }
    let read = Parcel::read(&input, Some(&safe)).unwrap();
    assert_eq!(
        (read.method.as_str(), read.target.to_string()),
        ("POST", "/a%2Fb?c=d".to_owned())
    );
    let mut names: Vec<_> = read
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            ("content-type", "application/json"),
            ("cookie", "a=b"),
            ("prefer", "return=minimal"),
            ("x-list", "a"),
            ("x-list", "b")
        ]
    );
    assert_eq!((read.unsafe_too, read.peer), (true, kept.peer));
    assert_eq!(
        Parcel::read(&Input::default(), None).unwrap_err(),
        NoParcel::Other
    );
}

#[test]
fn values_that_are_no_utf_8_are_kept_octet_for_octet() {
    let octets: Vec<u8> = (0x80..=0xff).collect();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-name", "ä".as_bytes()),
        ("x-name", &octets),
        ("content-type", b"text/\xe4"),
    ] {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let input = Parcel::of(&Method::GET, &"/".parse().unwrap(), &headers).input(Bytes::new(), None);
    let result = result(&Method::GET, 200, headers.clone(), Bytes::new());
    let mut answered = HeaderMap::new();
    answer_headers(&result, &mut answered);
    for kept in [Parcel::read(&input, None).unwrap().headers, answered] {
        assert_eq!(kept, headers);
    }
    for (name, text) in [(":octets:x", "\u{100}"), (":octets:", "a"), (":octets:x", "a\n")] {
        assert_eq!(header(name, text), None, "{name} {text:?}");
    }
}

#[test]
fn a_key_is_its_clients_own() {
    let key = |key, cookie| parcel(key, cookie).scoped_key();
    assert_eq!(key(None, None), None);
    assert_eq!(key(Some("k"), None), key(Some("k"), None));
    assert_ne!(key(Some("k"), None), key(Some("k"), Some("a=b")));
    assert_ne!(key(Some("k"), None), key(Some("l"), None));
    assert!(key(Some("k"), None).unwrap().len() < 255);
}

#[test]
fn the_upstream_is_told_of_the_job_and_keeps_its_clients_key() {
    let id = JobId::from_parts(1 << 40, 1);
    let told = |mut parcel: Parcel| {
        parcel.tell_job(id, 2, None);
        let of = |name: &str| parcel.headers[name].to_str().unwrap().to_owned();
        (
            of("raincheck-job"),
            of("raincheck-attempt"),
            of("idempotency-key"),
        )
    };
    assert_eq!(
        told(parcel(None, None)),
        (id.to_string(), "2".to_owned(), id.to_string())
    );
    assert_eq!(told(parcel(Some("k"), None)).2, "k");
}

#[test]
fn an_answer_is_kept_but_for_sessions_and_framing() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "text/html"),
        ("etag", "\"v1\""),
        ("set-cookie", "a=b"),
        ("content-length", "4"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("raincheck-job", "job_x"),
        ("www-authenticate", "Basic"),
        ("vary", "accept"),
        ("vary", "origin"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    let result = result(&Method::GET, 401, headers, Bytes::from_static(b"rain"));
    assert!(is_answer(&result));
    let mut given = HeaderMap::new();
    answer_headers(&result, &mut given);
    let mut names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["content-type", "etag", "vary", "vary", "www-authenticate"]
    );
}
