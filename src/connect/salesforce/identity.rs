//! Who we are in the organisation, and whether an address belongs to it.

use serde_json::Value as Json;
use url::Url;

use super::soql;
use crate::connect::http::address;

/// Our user and organisation, in long ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The organisation.
    pub(super) organization_id: String,
    /// The user all work is done as.
    pub(super) user_id: String,
}

impl Identity {
    /// From the answer of `userinfo`.
    pub(super) fn of_userinfo(info: &Json) -> Option<Self> {
        let id = |name: &str| info.get(name).and_then(Json::as_str).and_then(soql::long_id);
        Some(Self { organization_id: id("organization_id")?, user_id: id("user_id")? })
    }

    /// From the `id` address of the token answer, which ends in `/ORGANISATION/USER`. The address
    /// is only read, never called.
    pub(super) fn of_address(text: &str) -> Option<Self> {
        let mut parts = text.trim_end_matches('/').rsplit('/');
        let user_id = soql::long_id(parts.next()?)?;
        let organization_id = soql::long_id(parts.next()?)?;
        Some(Self { organization_id, user_id })
    }
}

/// Whether calls may go to `instance`, which came with a token: the configured host itself, another
/// My Domain host where a My Domain is configured, another loopback port where loopback is.
pub(super) fn may_call(configured: &Url, instance: &Url) -> bool {
    let plain = instance.username().is_empty() && instance.password().is_none();
    if !plain || !address::is_safe(instance) {
        return false;
    }
    if address::same_origin(configured, instance) {
        return true;
    }
    let my_domain = |url: &Url| {
        url.scheme() == "https"
            && url.port().is_none()
            && url.host_str().is_some_and(|host| host.ends_with(".my.salesforce.com"))
    };
    (my_domain(configured) && my_domain(instance))
        || (address::is_loopback(configured) && address::is_loopback(instance))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Identity, may_call};

    #[test]
    fn calls_stay_with_the_organisation() {
        let mine = "https://contoso.my.salesforce.com";
        let table = [
            (mine, mine, true, "the same host"),
            (mine, "https://contoso--dev.sandbox.my.salesforce.com", true, "a sibling"),
            (mine, "https://contoso.my.salesforce.com.evil.example", false, "a longer host"),
            (mine, "https://evilmy.salesforce.com", false, "not below my.salesforce.com"),
            (mine, "http://contoso.my.salesforce.com", false, "plain http"),
            (mine, "https://contoso.my.salesforce.com:8443", false, "another port"),
            (mine, "https://user@contoso.my.salesforce.com", false, "a user name"),
            (mine, "http://127.0.0.1:1", false, "loopback while the world is configured"),
            (mine, "http://169.254.169.254", false, "a metadata service"),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true, "a sandbox on two ports"),
            ("http://127.0.0.1:1", mine, false, "the world while loopback is configured"),
        ];
        for (configured, instance, good, why) in table {
            let url = |text: &str| Url::parse(text).expect("a url");
            assert_eq!(may_call(&url(configured), &url(instance)), good, "{instance}: {why}");
        }
    }

    #[test]
    fn the_identity_address_names_organisation_and_user() {
        let text = "https://login.salesforce.com/id/00DD0000000JxY1MAK/005D0000001AbCdIAK";
        let identity = Identity::of_address(text).expect("an identity");
        assert_eq!(identity.organization_id, "00DD0000000JxY1MAK");
        assert_eq!(identity.user_id, "005D0000001AbCdIAK");
        assert_eq!(Identity::of_address("https://login.salesforce.com/id/x/y"), None);
    }
}
