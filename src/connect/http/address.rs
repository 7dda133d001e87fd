//! Which addresses may be called.

use url::{Host, Url};

/// Whether `url` may carry credentials: https, or plain http to a loopback address.
#[must_use]
pub fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether the host of `url` is a loopback address or `localhost`.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether `link`, which came from an answer, stays with the system at `base`: same scheme, host and
/// port, no user name. A bearer token is only ever sent to such a link.
#[must_use]
pub fn same_origin(base: &Url, link: &Url) -> bool {
    base.scheme() == link.scheme()
        && base.host() == link.host()
        && base.port_or_known_default() == link.port_or_known_default()
        && link.username().is_empty()
        && link.password().is_none()
}

/// Percent-encodes everything but unreserved characters, a space as `%20`: for one literal inside a
/// query or a path segment.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{encode, is_safe, same_origin};

    #[test]
    fn only_https_and_loopback_are_safe() {
        let table = [
            ("https://contoso.crm.dynamics.com/", true, "https"),
            ("http://127.0.0.1:8080/", true, "loopback"),
            ("http://[::1]/", true, "loopback, version 6"),
            ("http://localhost/", true, "loopback by name"),
            ("http://contoso.example/", false, "plain http to the world"),
            ("http://0x7f.1.evil.example/", false, "a name that looks like loopback"),
            ("ftp://127.0.0.1/", false, "another scheme"),
        ];
        for (text, safe, why) in table {
            assert_eq!(is_safe(&Url::parse(text).expect("a url")), safe, "{text}: {why}");
        }
    }

    #[test]
    fn a_link_must_stay_with_its_system() {
        let base = Url::parse("https://contoso.crm.dynamics.com/api/data/v9.2/").expect("a url");
        let table = [
            ("https://contoso.crm.dynamics.com/api/data/v9.2/x?$skiptoken=1", true, "same"),
            ("https://contoso.crm.dynamics.com:443/x", true, "the default port"),
            ("https://contoso.crm.dynamics.com:8443/x", false, "another port"),
            ("http://contoso.crm.dynamics.com/x", false, "plain http"),
            ("https://contoso.crm.dynamics.com.evil.example/x", false, "a longer host"),
            ("https://contoso.crm.dynamics.com@evil.example/x", false, "a user name trick"),
            ("https://user@contoso.crm.dynamics.com/x", false, "a user name"),
        ];
        for (text, same, why) in table {
            let link = Url::parse(text).expect("a url");
            assert_eq!(same_origin(&base, &link), same, "{text}: {why}");
        }
    }

    #[test]
    fn literals_are_fully_encoded() {
        assert_eq!(encode("a b'c+d/é"), "a%20b%27c%2Bd%2F%C3%A9");
    }
}
