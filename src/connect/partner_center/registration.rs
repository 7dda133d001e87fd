//! Deal registration.

/// Whether a JSON Patch path lies below the registrations of a referral (reference 7.1).
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
