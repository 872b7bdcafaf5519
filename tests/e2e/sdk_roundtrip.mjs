// What a program on the AWS SDK for JavaScript v3 does with a bucket; the first failed check ends it.
// The endpoint and the bucket come by environment; prints "ok NAME" for each part.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const Bucket = process.env.E2E_BUCKET;
const client = new S3Client({ endpoint: process.env.E2E_URL, forcePathStyle: true, maxAttempts: 1 });
const read = async (Key, more = {}) => {
  const got = await client.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from(await got.Body.transformToByteArray());
};
const refusal = async (command) => {
  try {
    await client.send(command);
  } catch (error) {
    return [error.$metadata.httpStatusCode, error.name];
  }
  throw new Error("the request was not refused");
};

await client.send(new CreateBucketCommand({ Bucket }));

// Keys outside of ASCII, and characters that every encoder treats differently.
for (const Key of ["plain.txt", "ünï cödé/日本 😀.txt", "a+b&c=d?e#f%20'(!)*.txt"]) {
  await client.send(new PutObjectCommand({ Bucket, Key, Body: `body of ${Key}` }));
  assert.equal((await read(Key)).toString(), `body of ${Key}`);
}
console.log("ok unicode");

// A stream of known length is sent with its checksum in a trailer.
const text = "streamed ".repeat(50_000);
await client.send(
  new PutObjectCommand({
    Bucket,
    Key: "stream",
    Body: Readable.from([Buffer.from(text)]),
    ContentLength: text.length,
    ChecksumAlgorithm: "SHA256",
  }),
);
const head = await client.send(
  new HeadObjectCommand({ Bucket, Key: "stream", ChecksumMode: "ENABLED" }),
);
assert.equal(head.ChecksumSHA256, createHash("sha256").update(text).digest("base64"));
assert.equal((await read("stream")).toString(), text);
console.log("ok stream");

const large = Buffer.alloc(12 * 1024 * 1024, "0123456789abcdef");
const upload = new Upload({
  client,
  params: { Bucket, Key: "large", Body: Readable.from([large.subarray(0, 7e6), large.subarray(7e6)]) },
  partSize: 5 * 1024 * 1024,
});
const uploaded = await upload.done();
assert.match(uploaded.ETag, /-3"$/);
assert.ok((await read("large")).equals(large));
assert.ok((await read("large", { Range: "bytes=100-299" })).equals(large.subarray(100, 300)));
console.log("ok upload");

await client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "1", IfNoneMatch: "*" }));
const again = new PutObjectCommand({ Bucket, Key: "once", Body: "2", IfNoneMatch: "*" });
assert.deepEqual(await refusal(again), [412, "PreconditionFailed"]);
assert.equal((await read("once")).toString(), "1");
const absent = new GetObjectCommand({ Bucket, Key: "absent" });
assert.deepEqual(await refusal(absent), [404, "NoSuchKey"]);
console.log("ok conditions");

const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: "pre signed" }), {
  expiresIn: 60,
});
assert.equal((await fetch(put, { method: "PUT", body: "by url" })).status, 200);
const get = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "pre signed" }), {
  expiresIn: 60,
});
assert.equal(await (await fetch(get)).text(), "by url");
assert.equal((await fetch(get + "0")).status, 403);
console.log("ok presign");

const CopySource = `${Bucket}/${encodeURIComponent("ünï cödé/日本 😀.txt")}`;
const copied = await client.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource }));
assert.ok(copied.CopyObjectResult.LastModified instanceof Date);
assert.equal((await read("copied")).toString(), "body of ünï cödé/日本 😀.txt");
console.log("ok copy");

const keys = [];
for await (const page of paginateListObjectsV2({ client, pageSize: 3 }, { Bucket })) {
  keys.push(...page.Contents.map((entry) => entry.Key));
}
assert.equal(keys.length, 8);
const Delete = { Objects: keys.map((Key) => ({ Key })) };
const deleted = await client.send(new DeleteObjectsCommand({ Bucket, Delete }));
assert.deepEqual(deleted.Deleted.map((entry) => entry.Key).sort(), keys.sort());
assert.equal(deleted.Errors, undefined);
await client.send(new DeleteBucketCommand({ Bucket }));
console.log("ok delete");
