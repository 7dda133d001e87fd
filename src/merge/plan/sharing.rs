//! Upgrades of a deal, and what cannot be undone.

use serde_json::Value as Json;

use super::{Draft, ReferralWrite};
use crate::domain::id::CrmName;
use crate::domain::referral::DealKind;
use crate::domain::stage::Stage;
use crate::merge::sentence;

impl Draft<'_> {
    /// Upgrades that the record asks for explicitly, and answers to what cannot be undone.
    pub(super) fn sharing(&mut self, write: &mut ReferralWrite, invite: &mut Option<CrmName>) {
        if self.referral_stage != Some(Stage::Active) || self.record_is_sealed() {
            return;
        }
        let control = self.view.control;
        let visible = self.view.visible();
        match visible {
            Some(true) if !self.is_shared() => {
                write.share = true;
                write.asked_by.push(self.view.crm());
                self.lines.push(sentence::shared());
            }
            Some(true) => self.remember("was_visible"),
            Some(false) if self.is_shared() => {
                if let Some(field) = &control.visibility {
                    self.control.insert(field.clone(), Json::Bool(true));
                    if self.remembers("was_visible") {
                        self.tell_once("visibility", "", sentence::sharing_is_final());
                    }
                }
            }
            _ => {}
        }
        match self.view.help() {
            Some(Ok(_)) if self.situation.deal.microsoft.is_some() => {
                self.remember("asked_for_help")
            }
            Some(Ok(_)) if !self.has_customer_contact() => {
                let missing = ["a contact of the customer with an e-mail".to_owned()];
                self.tell_once("help_needs_contact", "", sentence::missing_for_help(&missing));
            }
            Some(Ok(_)) if self.link.base_stage.is_some() => {
                *invite = invite.or(Some(self.view.crm()));
                if visible == Some(false)
                    && let Some(field) = &control.visibility
                {
                    self.control.insert(field.clone(), Json::Bool(true));
                }
            }
            Some(Err(value)) => {
                let line = sentence::unknown_help(&value);
                self.tell_once("help", &value, line);
            }
            None if self.remembers("asked_for_help") => self.restore_help(),
            None | Some(Ok(_)) => {}
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        let engaged = self.situation.deal.microsoft.is_some();
        self.situation.referral.deal_kind(engaged) > DealKind::Private
    }

    /// Whether the referral names somebody at the customer, without whom Microsoft takes no request.
    fn has_customer_contact(&self) -> bool {
        let team = self.situation.referral.get("customerProfile.team").and_then(Json::as_array);
        team.is_some_and(|team| {
            let email =
                |member: &Json| member.get("email").and_then(Json::as_str).map(str::to_owned);
            team.iter().filter_map(email).any(|email| email.contains('@'))
        })
    }

    /// Help that was asked for cannot be withdrawn: an emptied field is filled again.
    fn restore_help(&mut self) {
        let control = self.view.control;
        let (Some(field), Some(microsoft)) = (&control.help, &self.situation.deal.microsoft) else {
            return;
        };
        let asked = microsoft.help.as_deref().unwrap_or("Unknown");
        let label = control.help_codes.iter().find(|(_, code)| code.eq_ignore_ascii_case(asked));
        if let Some((label, _)) = label {
            let value =
                label.parse::<i64>().map_or_else(|_| Json::from(label.as_str()), Json::from);
            self.control.insert(field.clone(), value);
            self.tell_once("help_is_final", "", sentence::help_is_final());
        }
    }
}
