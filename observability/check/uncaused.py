"""Alerts that the drill does not cause, each with its reason. All of them are seen to fire, and not to, in
../prometheus/tests.
"""

NOT_CAUSED = {
    "Watchdog": "it always fires, which the drill looks at; that a switch outside is told is shown by `static`",
    "VersionsMixed": "it needs two builds, and the drill has one",
    "ClockStandsStill": "the janitor comes every ten minutes, so that it stays away is seen after more than an hour",
    "LedgerUnchecked": "money is compared every five minutes, so that nobody does is seen after half an hour",
    "CertificateExpires": "certificates are an ingress' business, and there is none here",
    "CertificateExpiresSoon": "certificates are an ingress' business, and there is none here",
}
