#!/bin/sh
# The whole story of one picture book, by curl alone: two people sign up, a book is drafted, its story
# written and its image painted, it is published, bought, read and reviewed, changed, refunded and
# withdrawn. Every step prints what happened.
#
#   examples/first-book.sh [http://127.0.0.1:8080]
#
# It needs a running Maru (`make run`), curl, and nothing else. It ends with status 0 only if every step
# went as it says; each run makes people and books of its own, so it can be run again and again.

set -eu

API="${1:-http://127.0.0.1:8080}"
# Names of this run's own.
RUN="$$-$(date +%s)"
# How long to wait for a worker, in seconds.
PATIENCE=60

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() { printf '\n   FAILED: %s\n' "$*" >&2; exit 1; }

# One request. Prints the body, and leaves the status in $STATUS. Every command gets an Idempotency-Key of
# its own: were this script to repeat one after a lost answer, it would join the first, not do it twice.
#   request METHOD PATH TOKEN [BODY]
N=0
request() {
    N=$((N + 1))
    method=$1 path=$2 token=$3 body=${4:-}
    set -- -sS -X "$method" -w '\n%{http_code}' "$API$path" -H "idempotency-key: $RUN-$N"
    [ -z "$token" ] || set -- "$@" -H "authorization: Bearer $token"
    [ -z "$body" ] || set -- "$@" -H 'content-type: application/json' -d "$body"
    # The newest write that this run knows of: reads wait until they can show it.
    [ "$method" != GET ] || [ -z "${SEQ:-}" ] || set -- "$@" -H "maru-min-seq: $SEQ"
    answer=$(curl "$@") || fail "no answer from $API; is Maru running?"
    STATUS=$(printf '%s\n' "$answer" | tail -n 1)
    BODY=$(printf '%s\n' "$answer" | sed '$d')
    seq=$(field seq)
    [ -z "$seq" ] || SEQ=$seq
}

# The first value of a field in $BODY. Enough for our own, well-known answers; use jq for anything else.
field() {
    printf '%s' "$BODY" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1
}

expect() { [ "$STATUS" = "$1" ] || fail "expected $1 ($2), got $STATUS: $BODY"; }

# Reads PATH until FIELD says WANTED.
until_field() {
    waited=0
    while :; do
        request GET "$1" "$2"
        [ "$(field "$3")" != "$4" ] || return 0
        [ "$(field "$3")" != FAILED ] || fail "$3 is FAILED: $BODY"
        [ "$waited" -lt "$PATIENCE" ] || fail "$3 did not become $4 within $PATIENCE s: $BODY"
        waited=$((waited + 1))
        sleep 1
    done
}

join() {
    request POST /v1/auth/signup '' \
        "{\"username\":\"$1-$RUN\",\"password\":\"a long password\",\"nickname\":\"$2\",\"role\":\"$3\"}"
    expect 201 'signed up'
    request POST /v1/auth/login '' "{\"username\":\"$1-$RUN\",\"password\":\"a long password\"}"
    expect 200 'logged in'
    TOKEN=$(field accessToken)
}

step '1. An author and a reader sign up and log in'
join mina Mina author; AUTHOR=$TOKEN
join juno Juno reader; READER=$TOKEN
say 'Mina writes, Juno reads. Their passwords are in no stream; only sealed hashes travelled.'

step '2. Mina drafts a book from a title and a short synopsis'
request POST /v1/books "$AUTHOR" \
    '{"title":"The whale who collected stars","synopsis":"A small whale swims up every night to gather the stars that fell into the sea, and one of them wants to go home.","price":12000}'
expect 201 'drafted'
BOOK=$(field id)
say "book $BOOK, durability: $(field durability)"

step '3. She has the story written and the image painted'
request POST "/v1/books/$BOOK/ai-draft" "$AUTHOR" '{}'
expect 202 'a worker writes'
# Server-sent events; the stream ends by itself when the story does.
live=$(curl -sSN --max-time "$PATIENCE" "$API/v1/books/$BOOK/story" -H "authorization: Bearer $AUTHOR") || fail 'the story broke off'
case $live in *'event: done'*) say 'she read along while it was written' ;; *) fail "no end of the story: $live" ;; esac
until_field "/v1/books/$BOOK" "$AUTHOR" storyStatus READY
until_field "/v1/books/$BOOK" "$AUTHOR" imageStatus READY
IMAGE=$(field imageUrl)
say "the image is at $API$IMAGE"
kind=$(curl -sS -o /dev/null -w '%{http_code} %{content_type}' "$API$IMAGE")
[ "$kind" = '200 image/png' ] || [ "$kind" = '200 image/jpeg' ] || [ "$kind" = '200 image/webp' ] || fail "no image there: $kind"
request GET "/v1/books/$BOOK/contents" "$AUTHOR"
expect 200 'an author reads their own book'
say 'the story begins:'
printf '%s' "$BODY" | sed 's/.*"contents":"//; s/\\n.*//' | cut -c 1-300 | sed 's/^/      /'

step '4. She publishes it, and it is in the catalogue'
request POST "/v1/books/$BOOK/publish" "$AUTHOR"
expect 200 'published'
request GET '/v1/books?limit=5' "$READER"
expect 200 'the catalogue'
case $BODY in *"$BOOK"*) say 'Juno sees it, without its contents' ;; *) fail "not in the catalogue: $BODY" ;; esac

step '5. Juno cannot read it yet'
request GET "/v1/books/$BOOK/contents" "$READER"
expect 402 'not paid'
say "$(field detail)"

step '6. A card is declined: no purchase, nothing to read'
request POST /v1/purchases "$READER" "{\"bookId\":\"$BOOK\",\"card\":\"4000 0000 0000 0002\"}"
expect 201 'ordered'
PURCHASE=$(field id)
until_field "/v1/purchases/$PURCHASE" "$READER" state REJECTED
say "purchase $PURCHASE is REJECTED ($(field code))"

step '7. Juno buys it with another card, and reads'
request POST /v1/purchases "$READER" "{\"bookId\":\"$BOOK\",\"card\":\"4242 4242 4242 4242\"}"
expect 201 'ordered'
until_field "/v1/purchases/$PURCHASE" "$READER" state COMPLETED
request GET "/v1/books/$BOOK/contents" "$READER"
expect 200 'readable at once'
say 'paid 12000 won; the contents are open'
request POST /v1/purchases "$READER" "{\"bookId\":\"$BOOK\"}"
expect 409 'nobody buys a book twice'
say "a second order is refused: $(field code)"

step '8. Juno reviews it'
request POST "/v1/books/$BOOK/reviews" "$READER" '{"content":"The star went home. I cried a little.","rating":4.5}'
expect 201 'reviewed'
request GET "/v1/books/$BOOK" "$READER"
[ "$(field ratingAvg)" = 4.5 ] || fail "the average is not 4.5: $BODY"
say "the book has $(field ratingAvg) stars from $(field reviewCount) review"

step '9. Mina changes title and price; what Juno bought stays as it was'
request PATCH "/v1/books/$BOOK" "$AUTHOR" '{"title":"The whale and the homesick star","price":15000}'
expect 200 'changed'
request GET /v1/me/library "$READER"
case $BODY in *'The whale who collected stars'*) say 'in the library it still has the title it was bought with' ;; *) fail "the library changed: $BODY" ;; esac

step '10. Juno gives it back and gets exactly what was paid'
request POST "/v1/purchases/$PURCHASE/refund" "$READER"
expect 202 'on its way back'
until_field "/v1/purchases/$PURCHASE" "$READER" state REFUNDED
say "refunded $(field amount) won"
[ "$(field amount)" = 12000 ] || fail "not the price of the order: $BODY"
request GET "/v1/books/$BOOK/contents" "$READER"
expect 402 'closed again'
request GET /v1/payments "$READER"
case $BODY in *REFUNDED*) say 'the payment history shows it' ;; *) fail "no refund in the history: $BODY" ;; esac

step '11. Mina withdraws the book'
request DELETE "/v1/books/$BOOK" "$AUTHOR"
expect 200 'withdrawn'
request GET "/v1/books/$BOOK" "$READER"
expect 404 'gone for strangers'
request GET /v1/me/books "$AUTHOR"
case $BODY in *WITHDRAWN*) say 'Mina still has it among her own books' ;; *) fail "not among her books: $BODY" ;; esac

step 'That is the whole story.'
