"""What this is a version of: told by `/v1/config`, by the OpenAPI document and by the package."""

VERSION = "0.1.0"
