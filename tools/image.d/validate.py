"""Reads a bill of materials from standard input and says what CycloneDX 1.6 has against it; run in the venv."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(None if wrong is None else " ".join(str(wrong).split())[:300])
