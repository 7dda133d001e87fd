//! Which JSON Patch paths of a deal registration may be sent (reference 7.1).

/// Whether a JSON Patch path lies below the registrations of a referral.
pub(super) fn is_registration_path(path: &str) -> bool {
    const PARTS: &[&str] = &[
        "contract/startDateTime",
        "contract/endDateTime",
        "contract/signDateTime",
        "contract/term",
        "contract/value",
        "solutionDetails/0/value",
        "solutionDetails/0/currency",
        "solutionDetails/0/isDeployedOnAzure",
        "solutionDetails/0/primaryDeploymentOn",
        "solutionDetails/0/pricingModel",
        "solutionDetails/0/marketplaceTransactionDetails/isMarketplaceTransacted",
        "solutionDetails/0/marketplaceTransactionDetails/marketplaceTransactionDateTime",
    ];
    path == "/registrations/-"
        || path.strip_prefix("/registrations/0/").is_some_and(|rest| PARTS.contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::is_registration_path;

    #[test]
    fn only_the_listed_paths_are_allowed() {
        let table = [
            ("/registrations/-", true),
            ("/registrations/0/contract/value", true),
            ("/registrations/0/solutionDetails/0/pricingModel", true),
            ("/registrations/1/contract/value", false),
            ("/registrations/0/status", false),
            ("/status", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_registration_path(path), expected, "{path}");
        }
    }
}
