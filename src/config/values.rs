//! What a single value must look like.

use url::Url;

use super::found::Found;

/// Refuses an address that may not carry credentials, or that carries some itself.
pub(super) fn check_address(found: &mut Found<'_>, key: &str, url: &Url) {
    if !url.username().is_empty() || url.password().is_some() {
        found.value(
            key,
            &format!("`{key}` holds a user name or password"),
            "write the address without it; secrets never stand in this file",
        );
        return;
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
        found.value(
            key,
            &format!("`{key}` is {url}, which would send credentials in the open"),
            "use https; plain http is accepted for loopback addresses only",
        );
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// As [`check_address`]; it must be the root of a server too: nothing follows the host.
pub(super) fn check_root(found: &mut Found<'_>, key: &str, url: &Url) {
    check_address(found, key, url);
    if url.path() != "/" {
        let root = &url[..url::Position::BeforePath];
        found.value(
            key,
            &format!("`{key}` has the path {}", url.path()),
            &format!("write only the root, {root}; the paths below it are known"),
        );
    }
    check_no_query(found, key, url);
}

/// Refuses an address with a query or a fragment: paths are put behind it.
pub(super) fn check_no_query(found: &mut Found<'_>, key: &str, url: &Url) {
    if url.query().is_some() || url.fragment().is_some() {
        let plain = &url[..url::Position::AfterPath];
        found.value(
            key,
            &format!("`{key}` has something behind its path, from `?` or `#` on"),
            &format!("cut it off: {plain}"),
        );
    }
}

/// Refuses a number outside its range.
pub(super) fn check_range(found: &mut Found<'_>, key: &str, value: u64, low: u64, high: u64) {
    if !(low..=high).contains(&value) {
        found.value(key, &format!("`{key}` is {value}"), &format!("choose {low} to {high}"));
    }
}

/// Refuses what cannot be an Entra tenant: neither an id nor a domain of it.
pub(super) fn check_tenant(found: &mut Found<'_>, key: &str, tenant: &str) {
    if !is_guid(tenant) && !is_domain(tenant) {
        found.value(
            key,
            &format!("`{key}` is \"{tenant}\", which is no tenant"),
            "write the Directory (tenant) ID that Entra shows, as in \
             \"11111111-2222-4333-8444-555555555555\", or a domain of the tenant",
        );
    }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `text` is a name with at least one dot, of letters, digits and hyphens.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(label)
}

/// Refuses what cannot be an e-mail address: `what` is `key`, or a part of it.
pub(super) fn check_email(found: &mut Found<'_>, key: &str, what: &str, email: &str) {
    if !is_email(email) {
        found.value(
            key,
            &format!("`{what}` is \"{email}\", which is no e-mail address"),
            "write one address, as in \"seller@contoso.example\"",
        );
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let odd = |letter: char| {
        letter.is_whitespace() || letter.is_control() || "<>()[]@,;:\"\\".contains(letter)
    };
    let name = |label: &str| {
        !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
    };
    !local.is_empty() && !local.contains(odd) && domain.contains('.') && domain.split('.').all(name)
}

/// Whether `text` is the exact name of a host, perhaps with a port: no pattern, path, user or scheme.
pub(super) fn is_host(text: &str) -> bool {
    let url = Url::parse(&format!("https://{text}/"));
    !text.is_empty()
        && !text.contains(['/', '@', '*', '?', '#', ' '])
        && url.is_ok_and(|url| url.path() == "/")
}

/// Whether `text` is as [`is_host`], or a loopback address with `http://` in front.
pub(super) fn is_certificate_host(text: &str) -> bool {
    let Some(host) = text.strip_prefix("http://") else { return is_host(text) };
    is_host(host) && Url::parse(text).is_ok_and(|url| is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::{is_certificate_host, is_domain, is_email, is_guid};

    #[test]
    fn words_are_told_apart_from_what_they_should_be() {
        type Judge = fn(&str) -> bool;
        let table: [(Judge, &str, bool, &str); 24] = [
            (is_guid, "11111111-2222-4333-8444-555555555555", true, "a tenant's id"),
            (is_guid, "11111111-2222-4333-8444-55555555555", false, "a digit is missing"),
            (is_guid, "11111111-2222-4333-8444-55555555555g", false, "not hexadecimal"),
            (is_guid, "{11111111-2222-4333-8444-555555555555}", false, "in braces"),
            (is_domain, "contoso.onmicrosoft.com", true, "a domain of the tenant"),
            (is_domain, "contoso", false, "a name without a dot"),
            (is_domain, "https://contoso.example", false, "an address"),
            (is_domain, "contoso..example", false, "an empty label"),
            (is_email, "seller@contoso.example", true, "plain"),
            (is_email, "first.last+tag@mail.contoso.example", true, "dots and a tag"),
            (is_email, "o'neil@m\u{fc}nchen.example", true, "an apostrophe, an umlaut"),
            (is_email, "contoso.example", false, "no @"),
            (is_email, "seller@contoso", false, "no domain"),
            (is_email, "@contoso.example", false, "nobody"),
            (is_email, "a@b@contoso.example", false, "two @"),
            (is_email, "Sam <seller@contoso.example>", false, "with a name around it"),
            (is_email, "a@contoso.example, b@contoso.example", false, "two addresses"),
            (is_email, "seller@contoso.example.", false, "a dot at the end"),
            (is_certificate_host, "account.blob.core.windows.net", true, "a host"),
            (is_certificate_host, "127.0.0.1:9181", true, "with a port"),
            (is_certificate_host, "http://127.0.0.1:9181", true, "loopback without TLS"),
            (is_certificate_host, "http://account.example", false, "no TLS elsewhere"),
            (is_certificate_host, "https://account.example", false, "an address"),
            (is_certificate_host, "*.blob.core.windows.net", false, "a pattern"),
        ];
        for (judge, text, good, why) in table {
            assert_eq!(judge(text), good, "{text}: {why}");
        }
    }
}
