// Drives the Salesforce emulator with jsforce. Arguments: base address, path of the signing key, id
// of an opportunity that was changed more than a minute ago, id of one that was deleted then.
// Prints one line per proven behaviour; any failure ends with a stack and exit code 1.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const jsforce = require('jsforce');

const [url, keyFile, kept, gone] = process.argv.slice(2);
const REFERRAL = 'Referral_Identifier__c';
const deal = (more) => ({
  Name: 'Contoso deal', StageName: 'Prospecting', CloseDate: '2026-12-31', ...more,
});
const proven = (what) => console.log(`proven: ${what}`);

function assertion() {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    iss: 'sandbox-consumer-key', sub: 'integration@contoso.example',
    aud: 'https://login.salesforce.com', exp: Math.floor(Date.now() / 1000) + 120,
  };
  const signed = `${encode({ alg: 'RS256' })}.${encode(claims)}`;
  const signature = crypto.sign('sha256', Buffer.from(signed), fs.readFileSync(keyFile));
  return `${signed}.${signature.toString('base64url')}`;
}

async function login() {
  const conn = new jsforce.Connection({ loginUrl: url, instanceUrl: url, version: '66.0' });
  const info = await conn.authorize({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: assertion(),
  });
  assert.match(info.id, /^005/);
  assert.match(conn.accessToken, /^(00D\w{12,15})![.\w]*$/);
  const me = await conn.identity();
  assert.equal(me.username, 'integration@contoso.example');
  assert.equal(me.user_id, info.id);
  proven('login by signed assertion, identity');
  return conn;
}

async function rows(conn) {
  const made = await conn.sobject('Account').create({ Name: ' Contoso ' });
  assert.equal(made.success, true);
  const row = await conn.sobject('Account').retrieve(made.id);
  assert.equal(row.Name, 'Contoso');
  await conn.sobject('Account').update({ Id: made.id, Phone: '+49 30 5550100' });
  const found = await conn.sobject('Account').findOne({ Phone: '+49 30 5550100' });
  assert.equal(found.Id, made.id);
  await conn.sobject('Account').destroy(made.id);
  await assert.rejects(conn.sobject('Account').retrieve(made.id), { errorCode: 'ENTITY_IS_DELETED' });
  await assert.rejects(conn.sobject('Account').create({}), { errorCode: 'REQUIRED_FIELD_MISSING' });
  proven('create, retrieve, update, find, destroy, errors');
}

async function upsert(conn) {
  const Opportunity = conn.sobject('Opportunity');
  const made = await Opportunity.upsert(deal({ [REFERRAL]: 'ref-1' }), REFERRAL);
  const again = await Opportunity.upsert({ [REFERRAL]: 'ref-1', Amount: 5 }, REFERRAL);
  assert.deepEqual([made.created, again.created], [true, false]);
  assert.equal(again.id, made.id);
  proven('upsert by external id');
}

async function queries(conn) {
  const records = Array.from({ length: 7 }, (_, at) => deal({ Name: `Page ${at}`, Amount: at }));
  const made = await conn.sobject('Opportunity').create(records);
  assert.ok(made.every((result) => result.success));
  const soql = "SELECT Id, Name, Owner.Email FROM Opportunity WHERE Name LIKE 'Page%' ORDER BY Name";
  const first = await conn.query(soql);
  assert.deepEqual([first.totalSize, first.done, first.records.length], [7, false, 3]);
  const second = await conn.queryMore(first.nextRecordsUrl);
  const third = await conn.queryMore(second.nextRecordsUrl);
  assert.equal(third.done, true);
  const names = [first, second, third].flatMap((page) => page.records.map((row) => row.Name));
  assert.deepEqual(names, records.map((row) => row.Name));
  const all = await conn.query(soql).autoFetch(true).maxFetch(100);
  assert.equal(all.records.length, 7);
  const big = await conn.sobject('Opportunity').find({ Amount: { $gt: 4 } }, 'Id, Name').execute();
  assert.equal(big.length >= 2, true);
  await assert.rejects(conn.query('SELECT Nothing FROM Opportunity'), { errorCode: 'INVALID_FIELD' });
  proven('query, queryMore, automatic paging, find');
  return made.map((result) => result.id);
}

async function collections(conn, ids) {
  const Opportunity = conn.sobject('Opportunity');
  const changed = await Opportunity.update(ids.slice(0, 2).map((Id) => ({ Id, NextStep: 'call' })));
  assert.ok(changed.every((result) => result.success));
  const read = await Opportunity.retrieve(ids.slice(0, 2), { fields: ['Id', 'NextStep'] });
  assert.deepEqual(read.map((row) => row.NextStep), ['call', 'call']);
  const mixed = await Opportunity.create([deal(), { Name: 'no stage' }]);
  assert.deepEqual(mixed.map((result) => result.success), [true, false]);
  const wanted = [deal({ [REFERRAL]: 'ref-1' }), deal({ [REFERRAL]: 'ref-2' })];
  const upserted = await Opportunity.upsert(wanted, REFERRAL);
  assert.deepEqual(upserted.map((result) => result.created), [false, true]);
  const gone = await Opportunity.destroy(ids);
  assert.ok(gone.every((result) => result.success));
  proven('collections: create, update, retrieve, upsert, destroy');
}

async function metadata(conn) {
  const global = await conn.describeGlobal();
  assert.ok(global.sobjects.some((object) => object.name === 'Lead'));
  const described = await conn.sobject('Opportunity').describe();
  const field = described.fields.find((one) => one.name === REFERRAL);
  assert.deepEqual([field.type, field.length, field.externalId], ['string', 100, true]);
  const limits = await conn.limits();
  assert.ok(limits.DailyApiRequests.Max > limits.DailyApiRequests.Remaining);
  assert.ok(conn.limitInfo.apiUsage.used > 0);
  proven('describe, limits, usage header');
}

async function changes(conn) {
  const [start, end] = [new Date(Date.now() - 3600e3), new Date(Date.now() + 3600e3)];
  const updated = await conn.sobject('Opportunity').updated(start, end);
  assert.deepEqual(updated.ids, [kept]);
  assert.ok(!Number.isNaN(Date.parse(updated.latestDateCovered)));
  const deleted = await conn.sobject('Opportunity').deleted(start, end);
  assert.deepEqual(deleted.deletedRecords.map((record) => record.id), [gone]);
  proven('updated and deleted');
}

async function tooling(conn) {
  const made = await conn.tooling.sobject('CustomField').create({
    FullName: 'Opportunity.Proof__c', Metadata: { type: 'Text', label: 'Proof', length: 10 },
  });
  assert.match(made.id, /^00N/);
  const found = await conn.tooling.query(
    "SELECT Id, DeveloperName FROM CustomField WHERE DeveloperName = 'Proof'");
  assert.equal(found.records[0].Id, made.id);
  const described = await conn.sobject('Opportunity').describe();
  assert.ok(!described.fields.some((field) => field.name === 'Proof__c'), 'hidden until granted');
  proven('tooling');
}

async function main() {
  const conn = await login();
  await changes(conn);
  await rows(conn);
  await upsert(conn);
  const ids = await queries(conn);
  await collections(conn, ids);
  await metadata(conn);
  await tooling(conn);
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
