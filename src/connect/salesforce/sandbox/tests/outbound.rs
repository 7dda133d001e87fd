//! Outbound messages: sent, tried again, dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;

use super::site;
use crate::connect::salesforce::sandbox::{Delivery, OutboundMessages};
use crate::connect::sandbox::serve;

#[tokio::test]
async fn messages_are_tried_again_until_acknowledged_or_a_day_old() {
    let site = site().await;
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let answer = Arc::new(Mutex::new("false"));
    let (bodies, ack) = (Arc::clone(&seen), Arc::clone(&answer));
    let router = Router::new().route(
        "/",
        post(move |body: String| {
            bodies.lock().unwrap().push(body);
            let ack = *ack.lock().unwrap();
            async move {
                format!(
                    "<e:Envelope xmlns:e=\"x\"><e:Body><notificationsResponse xmlns=\
                     \"http://soap.sforce.com/2005/09/outbound\"><Ack>{ack}</Ack>\
                     </notificationsResponse></e:Body></e:Envelope>"
                )
            }
        }),
    );
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receiver = serve(router, anywhere).await.unwrap();
    let id = site.opportunity("Tom & Co");
    let mut messages = OutboundMessages::new(site.sandbox.clone(), &receiver.url(), &["Name"]);
    messages.queue("Opportunity", &id);
    let waits = Delivery { waiting: 1, ..Delivery::default() };
    assert_eq!(messages.deliver().await, waits, "refused");
    assert_eq!(messages.deliver().await, waits, "not due yet");
    assert_eq!(seen.lock().unwrap().len(), 1);
    site.clock.advance(Duration::from_secs(15));
    *answer.lock().unwrap() = "true";
    assert_eq!(messages.deliver().await, Delivery { acknowledged: 1, ..Delivery::default() });
    let body = seen.lock().unwrap()[1].clone();
    assert!(
        body.contains(&format!("<sf:Id>{id}</sf:Id><sf:Name>Tom &amp; Co</sf:Name>")),
        "{body}"
    );
    *answer.lock().unwrap() = "false";
    messages.queue("Opportunity", &id);
    messages.deliver().await;
    site.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(messages.deliver().await, Delivery { dropped: 1, ..Delivery::default() });
    assert_eq!(messages.waiting(), 0);
}
