// A client that knows Trivet from its .proto files (node client.js proto FOLDER ADDRESS QUESTION) or from reflection
// alone (node client.js reflection ADDRESS QUESTION). Prints one JSON document.
'use strict';
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const OPTIONS = { keepCase: true, longs: Number, enums: String, defaults: false, oneofs: true };
const INFERENCE = 'trivet.api.v1.Inference';

function fromFiles(folder) {
  return loader.loadSync('trivet/api/v1/inference.proto', { ...OPTIONS, includeDirs: [folder] });
}

// Asks the server itself for the files that describe the service, and for all that they import.
async function fromReflection(address) {
  const proto = path.join(path.dirname(require.resolve('@grpc/reflection/package.json')), 'build/proto');
  const own = loader.loadSync('grpc/reflection/v1alpha/reflection.proto', { ...OPTIONS, includeDirs: [proto] });
  const { ServerReflection } = grpc.loadPackageDefinition(own).grpc.reflection.v1alpha;
  const client = new ServerReflection(address, grpc.credentials.createInsecure());
  const ask = (request) => new Promise((resolve, reject) => {
    const stream = client.ServerReflectionInfo();
    stream.on('data', resolve);
    stream.on('error', reject);
    stream.write(request);
    stream.end();
  });
  const services = (await ask({ list_services: '' })).list_services_response.service.map((item) => item.name);
  const answer = await ask({ file_containing_symbol: INFERENCE });
  const files = new Map();
  const add = (bytes) => { files.set(bytes.toString('base64'), bytes); };
  answer.file_descriptor_response.file_descriptor_proto.forEach(add);
  const parts = [];
  for (const bytes of await closure(ask, [...files.values()])) {
    const size = Buffer.alloc(5);
    let length = 0;
    for (let rest = bytes.length; ; rest >>>= 7) {
      size[length++] = (rest & 0x7f) | (rest > 0x7f ? 0x80 : 0);
      if (rest <= 0x7f) break;
    }
    parts.push(Buffer.from([0x0a]), size.subarray(0, length), bytes); // field 1 of a FileDescriptorSet
  }
  client.close();
  return { services, definition: loader.loadFileDescriptorSetFromBuffer(Buffer.concat(parts), OPTIONS) };
}

async function closure(ask, files) {
  const descriptor = require('protobufjs/ext/descriptor');
  const found = new Map();
  const pending = [...files];
  while (pending.length) {
    const bytes = pending.shift();
    const file = descriptor.FileDescriptorProto.decode(bytes);
    if (found.has(file.name)) continue;
    found.set(file.name, bytes);
    for (const name of file.dependency) {
      if (found.has(name)) continue;
      const answer = await ask({ file_by_filename: name });
      pending.push(...answer.file_descriptor_response.file_descriptor_proto);
    }
  }
  return found.values();
}

function stream(client, request) {
  return new Promise((resolve, reject) => {
    const deltas = [];
    let final = null;
    const call = client.GenerateStream(request, { deadline: Date.now() + 30000 });
    call.on('data', (event) => { if (event.delta) deltas.push(event.delta.text || ''); else final = event.final; });
    call.on('error', reject);
    call.on('end', () => resolve({ deltas, final }));
  });
}

async function main([kind, ...rest]) {
  const address = rest[rest.length - 2];
  const question = rest[rest.length - 1];
  const known = kind === 'proto' ? { services: [], definition: fromFiles(rest[0]) } : await fromReflection(address);
  const { Inference } = grpc.loadPackageDefinition(known.definition).trivet.api.v1;
  const client = new Inference(address, grpc.credentials.createInsecure());
  const messages = [{ role: 'user', content: question }];
  const answer = await stream(client, { route: 'support', messages });
  const failure = await stream(client, { route: 'no-such-route', messages }).then(
    () => null,
    (error) => ({
      code: grpc.status[error.code],
      details: error.details,
      trailers: Object.keys(error.metadata.getMap()),
    }),
  );
  client.close();
  console.log(JSON.stringify({ services: known.services, answer, failure }));
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
