"""The JSON Schemas of what the HTTP server sends, and of requests that are the same for every agent."""

from __future__ import annotations

from typing import Any

__all__ = ["ANY_TEXT", "FIXED_SCHEMAS", "Schema", "reference"]

Schema = dict[str, Any]

ANY_TEXT: Schema = {"type": ["string", "null"]}


def reference(name: str) -> Schema:
    """Returns a schema that stands for a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema) -> Schema:
    """Returns the schema of an object that has all of these, and may have more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


_TIME: Schema = {"type": "string", "format": "date-time"}

_INVOCATION = _object(
    {
        "invocation_id": {"type": "string"},
        "agent_id": {"type": "string"},
        "entrypoint_tag": {"type": "string"},
        "status": {"enum": ["pending", "completed", "failed"]},
        "state": {"enum": ["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"]},
        "error_detail": ANY_TEXT,
        "request_timestamp": _TIME,
        "response_timestamp": {"anyOf": [_TIME, {"type": "null"}]},
        "execution_time_ms": {"type": ["number", "null"]},
        "chunk_count": {"type": "integer"},
        "input_data": {},
        "output_data": {},
    }
)

_ENTRYPOINT = _object(
    {
        "tag": {"type": "string"},
        "file": {"type": "string"},
        "module": {"type": "string"},
        "extractor": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
        "description": ANY_TEXT,
        "input_schema": {"type": "object"},
        "streaming": {"type": "boolean"},
    }
)

FIXED_SCHEMAS: Schema = {
    "AgentInfo": {
        "type": "object",
        "properties": {
            "message": {"type": "string"},
            "agent_id": {"type": "string"},
            "resumable": {"const": True},
            "instance_id": {"type": "string"},
            "grpc": _object({"port": {"type": "integer"}, "tls": {"type": "boolean"}}),
        },
        "required": ["message", "agent_id"],
    },
    "Health": {
        "type": "object",
        "properties": {
            "status": {"const": "healthy"},
            "timestamp": _TIME,
            "instance_id": {"type": "string"},
            "draining": {"const": True},
        },
        "required": ["status", "timestamp", "instance_id"],
    },
    "Live": _object({"status": {"const": "live"}, "timestamp": _TIME}),
    "Ready": _object({"status": {"enum": ["ready", "draining"]}, "timestamp": _TIME}),
    "Architecture": _object(
        {
            "success": {"const": True},
            "data": _object({"agent_id": {"type": "string"}, "entrypoints": {"type": "array", "items": _ENTRYPOINT}}),
            "message": {"type": "string"},
            "error": {"type": "null"},
            "timestamp": _TIME,
            "request_id": {"type": "string"},
            "agent_id": {"type": "string"},
            "entrypoints": {"type": "array", "items": _ENTRYPOINT},
        }
    ),
    "RunResponse": {"oneOf": [reference("Success"), reference("Failure")]},
    "Success": _object(
        {
            "success": {"const": True},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "The value as JSON text of `{type, payload}`, whose payload is JSON text, too.",
            },
            "message": {"type": "string"},
            "error": {"type": "null"},
            "timestamp": _TIME,
            "request_id": {"type": "string"},
        }
    ),
    "Failure": _object(
        {
            "success": {"const": False},
            "data": {"type": "null"},
            "message": {"type": "string"},
            "error": _object(
                {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "suggestion": ANY_TEXT,
                    "details": ANY_TEXT,
                    "field": ANY_TEXT,
                    "reason": {"type": "string"},
                }
            ),
            "detail": {"type": "string"},
            "timestamp": _TIME,
            "request_id": {"type": "string"},
        }
    ),
    "ExecuteRequest": {
        "type": "object",
        "properties": {
            "input_data": {
                "type": ["object", "null"],
                "properties": {
                    "input_args": {"type": ["array", "null"]},
                    "input_kwargs": {"type": ["object", "null"]},
                },
            }
        },
    },
    "ExecuteResponse": _object(
        {
            "success": {"type": "boolean"},
            "output_data": {**ANY_TEXT, "description": "The value as JSON text."},
            "error": ANY_TEXT,
            "execution_time": {"type": "number"},
            "agent_id": {"type": "string"},
        }
    ),
    "Cancelled": _object(
        {
            "success": {"const": True},
            "data": _object(
                {
                    "invocation_id": {"type": "string"},
                    "status": {"enum": ["completed", "failed"]},
                    "state": {"type": "string"},
                    "error_detail": {"type": ["string", "null"]},
                }
            ),
            "message": {"type": "string"},
            "error": {"type": "null"},
            "timestamp": _TIME,
            "request_id": {"type": "string"},
        }
    ),
    "Invocation": _INVOCATION,
    "Invocations": _object(
        {
            "agent_id": {"type": "string"},
            "invocations": {"type": "array", "items": reference("Invocation")},
            "total_count": {"type": "integer"},
        }
    ),
    "InvocationStatistics": _object(
        {
            "agent_id": {"type": "string"},
            "stats": _object(
                {
                    "total_invocations": {"type": "integer"},
                    "completed_invocations": {"type": "integer"},
                    "failed_invocations": {"type": "integer"},
                    "pending_invocations": {"type": "integer"},
                    "success_rate": {"type": "number"},
                    "avg_execution_time_ms": {"type": ["number", "null"]},
                }
            ),
        }
    ),
}
