//! Which addresses are pinned by configuration, compared by their parts.

use url::Url;

use crate::connect::http::address::is_loopback;

/// The longest address that is looked at.
const LONGEST: usize = 2048;

/// Reads an address that came from outside, if nothing in it could be read in two ways.
///
/// Only plain characters are taken: no percent sign, backslash, `@`, white space or letter outside
/// of ASCII; the parser would turn some of those into another address than the eye sees.
fn plain(text: &str) -> Option<Url> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte);
    if text.len() > LONGEST || !text.bytes().all(is_plain) {
        return None;
    }
    Url::parse(text).ok().filter(|url| url.query().is_none() && url.fragment().is_none())
}

/// Whether the host and port of `url` are those of `entry`: `name` or `name:port`. Without a port
/// only the default one counts.
fn is_host(url: &Url, entry: &str) -> bool {
    let Some(host) = url.host_str() else { return false };
    let entry = entry.to_ascii_lowercase();
    match url.port() {
        None => host == entry,
        Some(port) => format!("{host}:{port}") == entry,
    }
}

/// Whether `path` is `pattern`, in which one `*` stands for anything within one segment.
fn is_path(path: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => path == pattern,
        Some((start, end)) => path
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|middle| !middle.is_empty() && !middle.contains('/')),
    }
}

/// The certificate address in `text`, if host and path are pinned and it is https. Plain http is
/// taken for a loopback host where `loopback` permits it.
pub(super) fn certificate_url(
    text: &str,
    hosts: &[String],
    paths: &[String],
    loopback: bool,
) -> Option<Url> {
    let url = plain(text)?;
    let safe = url.scheme() == "https" || (loopback && is_loopback(&url));
    let pinned = hosts.iter().any(|host| is_host(&url, host))
        && paths.iter().any(|path| is_path(url.path(), path));
    (safe && pinned && matches!(url.scheme(), "https" | "http")).then_some(url)
}

/// The last part of a referral's address in any of its known spellings; the address is read and
/// never called. Plain http is taken: the documented samples have it.
pub(super) fn referral_part(text: &str, hosts: &[String]) -> Option<String> {
    const BEFORE: [&str; 2] = ["/engagements/v1/referrals/", "/v1.0/engagements/referrals/"];
    let url = plain(text)?;
    let ours =
        matches!(url.scheme(), "https" | "http") && hosts.iter().any(|host| is_host(&url, host));
    let rest = BEFORE.iter().find_map(|before| url.path().strip_prefix(before))?;
    (ours && !rest.contains('/')).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{certificate_url, referral_part};

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn only_the_pinned_certificate_address_is_ever_fetched() {
        let hosts = list(&["3psostorageacct.blob.core.windows.net", "127.0.0.1:8080"]);
        let paths = list(&["/cert/pcnotifications-dispatch.microsoft.com.cer", "/other/*.cer"]);
        let good = "https://3psostorageacct.blob.core.windows.net";
        let path = "/cert/pcnotifications-dispatch.microsoft.com.cer";
        let long = format!("{good}/other/{}.cer", "a".repeat(8192));
        let table = [
            (format!("{good}{path}"), true, "as pinned"),
            (format!("{}{path}", good.replace("3pso", "3PSO")), true, "host in another case"),
            (format!("{good}:443{path}"), true, "the default port"),
            (format!("{good}/other/next.cer"), true, "the pattern"),
            (format!("http://127.0.0.1:8080{path}"), true, "the sandbox"),
            (format!("http://127.0.0.1:8081{path}"), false, "another port of the sandbox"),
            (format!("http://3psostorageacct.blob.core.windows.net{path}"), false, "plain http"),
            (format!("ftp://3psostorageacct.blob.core.windows.net{path}"), false, "ftp"),
            ("file:///etc/passwd".to_owned(), false, "file"),
            ("data:,x".to_owned(), false, "data"),
            (format!("{good}{path} {good}{path}"), false, "two addresses"),
            (format!("{good}{path},{good}{path}"), false, "two addresses in a list"),
            (format!("https://evil.blob.core.windows.net{path}"), false, "their own account"),
            (format!("https://user@3psostorageacct.blob.core.windows.net{path}"), false, "user"),
            (format!("{good}@evil.example{path}"), false, "user name trick"),
            (format!("{good}.evil.example{path}"), false, "a longer name"),
            (format!("{good}.{path}"), false, "trailing dot"),
            (
                format!("https://3psost\u{43e}rageacct.blob.core.windows.net{path}"),
                false,
                "Cyrillic o",
            ),
            (
                format!("https://3psostorageacct%2eblob.core.windows.net{path}"),
                false,
                "encoded dot",
            ),
            (format!("{good}:8443{path}"), false, "another port"),
            (format!("{good}{path}?x=1"), false, "a query"),
            (format!("{good}{path}#x"), false, "a fragment"),
            (format!("{good}/cert/../other/x.cer"), true, "dots are resolved before comparing"),
            (format!("{good}/other/a/b.cer"), false, "the pattern stays within a segment"),
            (format!("{good}/other/..%2fb.cer"), false, "encoded slash"),
            (format!("{good}\\cert\\x.cer"), false, "backslash"),
            (format!("{good}{path}\n"), false, "line feed"),
            (long, false, "8 KiB"),
            (String::new(), false, "nothing"),
        ];
        for (text, expected, why) in table {
            let url = certificate_url(&text, &hosts, &paths, true);
            assert_eq!(url.is_some(), expected, "{text}: {why}");
        }
        let sandbox = format!("http://127.0.0.1:8080{path}");
        assert_eq!(certificate_url(&sandbox, &hosts, &paths, false), None, "not permitted");
    }

    #[test]
    fn only_a_known_spelling_of_a_referral_gives_a_part() {
        let hosts = list(&["api.partnercenter.microsoft.com", "api.partner.microsoft.com"]);
        let id = "11111111-2222-4333-8444-555555555555";
        let center = "api.partnercenter.microsoft.com";
        let table = [
            (format!("https://{center}/engagements/v1/referrals/{id}"), true, "documented"),
            (format!("http://{center}/engagements/v1/referrals/{id}"), true, "X6: http"),
            (
                format!("https://api.partner.microsoft.com/v1.0/engagements/referrals/{id}"),
                true,
                "the referrals API's own",
            ),
            (format!("http://169.254.169.254/engagements/v1/referrals/{id}"), false, "X1"),
            (format!("http://2852039166/engagements/v1/referrals/{id}"), false, "X1: decimal"),
            (format!("http://0xa9.0xfe.0xa9.0xfe/engagements/v1/referrals/{id}"), false, "X1: hex"),
            (format!("http://[::ffff:169.254.169.254]/engagements/v1/referrals/{id}"), false, "X1"),
            (format!("http://localhost:16722/engagements/v1/referrals/{id}"), false, "the sample"),
            (format!("https://{center}@evil.example/engagements/v1/referrals/{id}"), false, "X2"),
            (format!("https://{center}.evil.example/engagements/v1/referrals/{id}"), false, "X3"),
            (
                format!("https://api%2epartnercenter.microsoft.com/engagements/v1/referrals/{id}"),
                false,
                "X3: encoded",
            ),
            (
                format!(
                    "https://api.p\u{430}rtnercenter.microsoft.com/engagements/v1/referrals/{id}"
                ),
                false,
                "X3: look-alike",
            ),
            (
                format!("https://{center}/engagements/v1/referrals/..%2f..%2fcustomers"),
                false,
                "X4: encoded slashes",
            ),
            (format!("https://{center}/engagements/v1/referrals/../customers"), false, "X4: dots"),
            (format!("https://{center}/engagements/v1/referrals/{id}/x"), false, "longer path"),
            (format!("https://{center}/engagements/v1/referrals/{id}?x=1"), false, "query"),
            (format!("https://{center}/x/engagements/v1/referrals/{id}"), false, "not anchored"),
            (format!("https://{center}/engagements/v1/referrals/{id}\0"), false, "X7: NUL"),
            (format!("https://{center}/engagements/v1/referrals/{id}\n"), false, "X7: line feed"),
            ("x".repeat(100 << 10), false, "X7: 100 KiB"),
        ];
        for (text, expected, why) in table {
            let part = referral_part(&text, &hosts);
            assert_eq!(part.as_deref(), expected.then_some(id), "{text:.80}: {why}");
        }
    }
}
