//! The `[registration]` table: which fields of a record say how a won deal is registered.

use schemars::JsonSchema;
use serde::Serialize;

use super::problem::{Findings, Place, Spot};
use super::table::Table;

/// Declares the keys once, for the table as it is written and for the rule that it becomes.
macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The `[registration]` table: fields of a won deal by which it is registered with Microsoft.
        #[derive(Debug, Clone, Default, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct RegistrationTable {
            #[schemars(skip)]
            pub(crate) place: Place,
            $($(#[$doc])* pub(crate) $name: Option<Spot<String>>,)+
        }

        impl RegistrationTable {
            pub(crate) fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
                let read = Self {
                    place: table.place().clone(),
                    $($name: table.text(stringify!($name), findings),)+
                };
                table.finish(findings);
                read
            }

            /// `self`, with what it leaves out taken from `base`.
            pub(crate) fn over(self, base: Self) -> Self {
                Self { place: self.place, $($name: self.$name.or(base.$name),)+ }
            }

            /// The rule, where `name` checks each field.
            pub(crate) fn rule(
                &self,
                mut name: impl FnMut(&Spot<String>) -> Option<String>,
            ) -> RegistrationRule {
                RegistrationRule { $($name: self.$name.as_ref().and_then(&mut name),)+ }
            }
        }

        /// The fields of a record by which a won deal is registered, from `[registration]`.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
        pub struct RegistrationRule {
            $($(#[$doc])* pub $name: Option<String>,)+
        }

        impl RegistrationRule {
            /// Every field that is named.
            pub fn fields(&self) -> impl Iterator<Item = &String> {
                [$(&self.$name),+].into_iter().flatten()
            }
        }
    };
}

keys! {
    /// Check box by which the seller asks for the registration.
    register,
    /// Text field that shows Microsoft's status of the registration.
    status,
    /// Value of the contract.
    value,
    /// Currency of the contract, three letters.
    currency,
    /// US dollars for one unit of that currency; needed for the least value unless it is USD.
    usd_rate,
    /// First day of the contract.
    start,
    /// Last day of the contract.
    end,
    /// Check box, or the word `Perpetual`: the contract has no last day.
    perpetual,
    /// Day the contract was signed.
    signed,
    /// Id of the solution that is registered; the deal's only one if it is empty.
    solution,
    /// Value of that solution; the contract's if it is empty.
    solution_value,
    /// Check box: the solution runs on Azure.
    deployed_on_azure,
    /// Check box, or `Customer` or `Partner`: whose subscription it runs in.
    customer_deployment,
    /// Check box, or the words `Pay as you go`: how it is paid.
    pay_as_you_go,
    /// Check box: bought in the marketplace.
    marketplace,
    /// Day of the marketplace transaction.
    marketplace_date,
    /// Check box: Microsoft manages the customer.
    managed_customer,
    /// Check box: a solution of the deal is Azure IP co-sell eligible.
    eligible_solution,
    /// Check box: the deal came from a solution assessment.
    solution_assessment,
}
