#!/usr/bin/env python3
"""A gRPC client that has never seen Trestle's .proto files: all it knows comes from the server's reflection.

client.py ADDRESS CA CERT KEY <CALLS >ANSWERS

CALLS is a JSON list of {"method": "package.Service/Method"} with one of
  "request": {...}    the request in protobuf's JSON form
  "raw": "0a00"       the request's bytes in hexadecimal, sent as they are
  "zeros": 5000000    that many zero bytes, sent as they are
ANSWERS is a JSON list of {"code": "OK", "message": "", "details": [...], "answers": [...]}, in the same order.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

LIMIT_SECONDS = 50


def main():
    address, ca, cert, key = sys.argv[1:5]
    ca, cert, key = (open(path, "rb").read() for path in (ca, cert, key))
    credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)
    with grpc.secure_channel(address, credentials) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        json.dump([answer(channel, pool, call) for call in json.load(sys.stdin)], sys.stdout)


def answer(channel, pool, call):
    service, method = call["method"].split("/")
    method = pool.FindServiceByName(service).FindMethodByName(method)
    reply = message_factory.GetMessageClass(method.output_type)
    stub = channel.unary_stream if method.server_streaming else channel.unary_unary
    invoke = stub("/" + call["method"], request_serializer=bytes, response_deserializer=reply.FromString)
    try:
        answers = invoke(request_bytes(method, call), timeout=LIMIT_SECONDS)
        answers = list(answers) if method.server_streaming else [answers]
    except grpc.RpcError as refused:
        status = rpc_status.from_call(refused)
        details = [read_detail(pool, any) for any in status.details] if status else []
        return {"code": refused.code().name, "message": refused.details(), "details": details, "answers": []}
    return {"code": "OK", "message": "", "details": [], "answers": [to_json(pool, one) for one in answers]}


def request_bytes(method, call):
    if "raw" in call:
        return bytes.fromhex(call["raw"])
    if "zeros" in call:
        return bytes(call["zeros"])
    request = message_factory.GetMessageClass(method.input_type)()
    return json_format.ParseDict(call["request"], request).SerializeToString()


def read_detail(pool, any):
    kind = any.type_url.split("/")[-1]
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(kind))()
    message.ParseFromString(any.value)
    return {"@type": any.type_url, **to_json(pool, message)}


def to_json(pool, message):
    return json_format.MessageToDict(message, descriptor_pool=pool)


if __name__ == "__main__":
    main()
