// A stream, and what an error tells, from the .proto files: node stream.js ADDRESS ROUTE QUESTION.
// TRIVET_KEY: the key, where the server asks for one. CA_FILE: the certificates (PEM) for a server with TLS.
'use strict';
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const PROTO = path.join(__dirname, '../../proto');
const OPTIONS = { keepCase: true, longs: Number, enums: String, oneofs: true, arrays: true, includeDirs: [PROTO] };

// The two of Google's messages that are needed to read why a call failed.
const google = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
`).root;

// The stable reason of an error, such as UNKNOWN_ROUTE; undefined where the error is gRPC's own.
function reasonOf(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!bytes) return undefined;
  const info = google.lookupType('Status').decode(bytes).details.find((any) => any.typeUrl.endsWith('/google.rpc.ErrorInfo'));
  return info && google.lookupType('ErrorInfo').decode(info.value).reason;
}

// Calls onDelta with each piece of text; resolves to the final message, with the answer, its citations and its receipt.
function stream(client, request, onDelta) {
  const metadata = new grpc.Metadata();
  if (process.env.TRIVET_KEY) metadata.set('authorization', `Bearer ${process.env.TRIVET_KEY}`);
  return new Promise((resolve, reject) => {
    let final;
    const call = client.GenerateStream(request, metadata, { deadline: Date.now() + 30000 }); // call.cancel() ends it early
    call.on('data', (event) => { if (event.delta) onDelta(event.delta.text); else final = event.final; });
    call.on('error', reject);
    call.on('end', () => resolve(final));
  });
}

async function main(address, route, question) {
  const { Inference } = grpc.loadPackageDefinition(loader.loadSync('trivet/api/v1/inference.proto', OPTIONS)).trivet.api.v1;
  const credentials = process.env.CA_FILE
    ? grpc.credentials.createSsl(fs.readFileSync(process.env.CA_FILE))
    : grpc.credentials.createInsecure();
  const client = new Inference(address, credentials);
  const messages = [{ role: 'user', content: question }];
  const final = await stream(client, { route, messages }, (text) => process.stdout.write(text));
  console.log();
  final.citations.forEach((citation, i) => console.log(`[${i + 1}] ${citation.document_id}: ${citation.title}`));
  console.log(`${final.receipt.output_tokens} tokens, request ${final.receipt.request_id}`);
  try {
    await stream(client, { route: 'no-such-route', messages }, () => {});
  } catch (error) {
    console.log(`${grpc.status[error.code]}, reason ${reasonOf(error)}: ${error.details}`);
  }
  client.close();
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
