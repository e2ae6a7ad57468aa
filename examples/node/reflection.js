// A call from reflection alone, without the .proto files: node reflection.js ADDRESS ROUTE QUESTION.
'use strict';
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { FileDescriptorProto, FileDescriptorSet } = require('protobufjs/ext/descriptor');

const OPTIONS = { keepCase: true, longs: Number, enums: String, oneofs: true };
const SERVICE = 'trivet.api.v1.Inference';

// One question to the server's reflection service.
function asker(address) {
  const folder = path.join(path.dirname(require.resolve('@grpc/reflection/package.json')), 'build/proto');
  const own = loader.loadSync('grpc/reflection/v1alpha/reflection.proto', { ...OPTIONS, includeDirs: [folder] });
  const { ServerReflection } = grpc.loadPackageDefinition(own).grpc.reflection.v1alpha;
  const client = new ServerReflection(address, grpc.credentials.createInsecure());
  return (request) => new Promise((resolve, reject) => {
    const stream = client.ServerReflectionInfo({ deadline: Date.now() + 30000 });
    stream.on('data', resolve);
    stream.on('error', reject);
    stream.write(request);
    stream.end();
  });
}

// The file that describes the service, and all that it imports, as one definition.
async function described(ask) {
  const found = new Map();
  const pending = [{ file_containing_symbol: SERVICE }];
  while (pending.length) {
    const answer = await ask(pending.shift());
    for (const bytes of answer.file_descriptor_response.file_descriptor_proto) {
      const file = FileDescriptorProto.decode(bytes);
      if (found.has(file.name)) continue;
      found.set(file.name, file);
      file.dependency.filter((name) => !found.has(name)).forEach((name) => pending.push({ file_by_filename: name }));
    }
  }
  const set = FileDescriptorSet.create({ file: [...found.values()] });
  return loader.loadFileDescriptorSetFromBuffer(Buffer.from(FileDescriptorSet.encode(set).finish()), OPTIONS);
}

async function main(address, route, question) {
  const ask = asker(address);
  const { service } = (await ask({ list_services: '' })).list_services_response;
  console.log('services:', service.map((item) => item.name).sort().join(' '));
  const { Inference } = grpc.loadPackageDefinition(await described(ask)).trivet.api.v1;
  const client = new Inference(address, grpc.credentials.createInsecure());
  const request = { route, messages: [{ role: 'user', content: question }] };
  client.Generate(request, { deadline: Date.now() + 30000 }, (error, answer) => {
    if (error) throw error;
    console.log(answer.text);
    process.exit(0); // the open connections would keep the program alive
  });
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
