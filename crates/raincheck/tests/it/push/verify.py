"""Verifies a signed request with the package `standardwebhooks`, which has no code in common with Raincheck.

Reads {"secret": …, "headers": {…}, "body": …} from stdin; prints "verified", or why not. The package's own tolerance of
five minutes holds, so the request must be fresh.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

request = json.load(sys.stdin)
try:
    Webhook(request["secret"]).verify(request["body"], request["headers"])
    print("verified")
except WebhookVerificationError as why:
    print("refused:", why)
