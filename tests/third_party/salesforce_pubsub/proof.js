// Reads change events with a client of the Pub/Sub API that others wrote.
// Arguments: address of the service (host:port), a session, the id of an opportunity.
// Prints a line "proven: ..." for each thing seen.
import PubSubApiClient from 'salesforce-pubsub-api-client';

const [endpoint, session, opportunity] = process.argv.slice(2);
const silent = { debug() {}, info() {}, warn() {}, error: console.error };

async function connected() {
    const client = new PubSubApiClient(
        {
            authType: 'user-supplied',
            accessToken: session,
            instanceUrl: 'https://contoso.my.salesforce.com',
            pubSubEndpoint: endpoint,
            // The emulator's certificate is its own.
            rejectUnauthorizedSsl: false
        },
        silent
    );
    await client.connect();
    return client;
}

function check(what, good, seen) {
    if (!good) {
        console.error(`not so: ${what}: ${JSON.stringify(seen)}`);
        process.exit(1);
    }
    console.log(`proven: ${what}`);
}

// An event that never comes would be waited for without end.
setTimeout(() => check('all events come within a minute', false, seen.length), 60_000);

const client = await connected();
// A client keeps one stream for a topic, so going on after an event takes another.
const later = await connected();
const seen = [];
const topic = '/data/OpportunityChangeEvent';

function first(subscription, type, data) {
    if (type === 'error') {
        check('the first stream holds', false, String(data));
    }
    if (type !== 'event') {
        return;
    }
    seen.push(data);
    if (seen.length === 3) {
        const [creation, edit, emptied] = seen;
        const headers = seen.map((event) => event.payload.ChangeEventHeader);
        check('the created row has its values', creation.payload.Name === 'Contoso rollout', creation.payload);
        check('kinds of change', headers.map((one) => one.changeType).join() === 'CREATE,UPDATE,UPDATE', headers);
        check('the row is named', headers[1].recordIds.join() === opportunity, headers[1]);
        check('changed fields are decoded', headers[1].changedFields.includes('Amount'), headers[1]);
        check('only changed values are sent', edit.payload.Amount === 4200 && edit.payload.Name === null, edit.payload);
        check('emptied fields are decoded', headers[2].nulledFields.join() === 'Description', headers[2]);
        check('replay ids rise', emptied.replayId > creation.replayId, seen.map((one) => one.replayId));
        later.subscribeFromReplayId(topic, second, 5, edit.replayId);
    }
}

function second(subscription, type, data) {
    if (type === 'error') {
        check('the second stream holds', false, String(data));
    }
    if (type === 'event') {
        check('a stream goes on after an event', data.replayId === seen[2].replayId, data.replayId);
        client.close();
        later.close();
        process.exit(0);
    }
}

client.subscribeFromEarliestEvent(topic, first, 5);
