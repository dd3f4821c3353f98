# Every target says in its own line what it does; "make" lists them.

# How long each fuzz target runs, and which benchmarks do.
FUZZTIME ?= 10s
BENCH ?= .

# The stories of "make attacks": those that are told more often there.
ATTACKS ?= SlowStrangers|StreamChurn|ConnectionFlood|NoHandlerWaits|TwoCopies|OneDeviceIsNever|APairForTwo|WhoTakesAll|StockFills|RecordedFrames|CorruptedFirst|MutatedRecords|FirstFlightCounts|SaidAfterARestore|Rubbish

# The program that "make model" runs.
PROVERIF ?= proverif

# How many random walks "make sessions" takes, and how many steps each has.
SESSIONS_SEEDS ?= 10000
SESSIONS_STEPS ?= 200

# How many towns "make sim" plays, beginning with the one of SIM_SEED, and how many "make test" does.
SIM_SEEDS ?= 10000
SIM_SEED ?= 0
SIM_TEST_SEEDS ?= 300

# How many networks "make eclipse" builds, with ten records each.
ECLIPSE_WORLDS ?= 10

# How often each pair of "make rig" meets, what the weather on its wire is played by, and how many of its scenes play at a time: most of them wait.
RIG_ROUNDS ?= 20
RIG_SEED ?= 1
RIG_PARALLEL ?= 4

# For how long "make rest" looks.
REST_TIME ?= 10m

# How many kills "make kill-campaign" makes on each database, and the seed of its first town of 60; how many at named points of a node's life;
# and how often PostgreSQL ends.
KILLS ?= 1000
KILL_SEED ?= 1
POINTS ?= 132
STOPS ?= 300

# How often "make faults" cuts the power, breaks a disk in the store, and does so under a node; and how many races of two starts it runs.
CUTS ?= 300
FILLS ?= 100
RACES ?= 1000

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/parley: one static file
	CGO_ENABLED=0 go build -trimpath -o bin/parley .

demo: build ## chat as Alice with a Bob of your own; AUTO=1 plays it without a terminal
	@AUTO='$(AUTO)' sh e2e/demo.sh

test: ## run every test with the race detector, on SQLite and PostgreSQL
	@[ -n "$$PARLEY_TEST_POSTGRES_URL" ] || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		echo "no PostgreSQL here, so its tests are skipped: apt-get install postgresql, or set PARLEY_TEST_POSTGRES_URL"
	go vet ./...
	go test -race -timeout 25m ./...
	go test -run '^TestNothingIsLostOrShownTwice$$' -count 1 -timeout 20m ./chat -args -sim.seeds '$(SIM_TEST_SEEDS)'

lint: ## run the linters of .golangci.yml; builds them first, once
	go tool -modfile=e2e/tools/go.mod golangci-lint run

fuzz: ## feed every parser with made-up input, FUZZTIME each
	@grep -rHo --include='*_test.go' 'func Fuzz[A-Za-z0-9]*' chat node store | sed 's/func //' | \
	while IFS=: read -r file target; do \
		echo "$$file $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime '$(FUZZTIME)' "./$$(dirname "$$file")" || exit 1; \
	done

sessions: ## walk sessions at random, SESSIONS_SEEDS times; a walk that fails prints the command that repeats it
	go test -run '^TestSessionsAtRandom$$' -count 1 -v -timeout 3h ./chat/internal/seal -args -seeds '$(SESSIONS_SEEDS)' -steps '$(SESSIONS_STEPS)'

sim: ## play SIM_SEEDS towns in which everything goes wrong; one that fails prints the command that repeats it
	go test -run '^TestNothingIsLostOrShownTwice$$' -count 1 -v -timeout 3h ./chat -args -sim.first '$(SIM_SEED)' -sim.seeds '$(SIM_SEEDS)'

attacks: ## meet every attack on the messenger and on the node as often as it says for the whole; takes minutes
	go test -run '$(ATTACKS)' -count 1 -p 1 -v -timeout 1h ./chat ./node -args -whole

kill-campaign: ## kill nodes that talk, KILLS times on each database; a town that fails prints the command that repeats it
	go test -run '^TestWhoeverIsKilledNothingIsLostOrShownTwice$$' -count 1 -v -timeout 3h ./e2e -args -kills '$(KILLS)' -seed '$(KILL_SEED)'
	go test -run '^TestWhoeverIsKilledAtAPointLosesNothing$$' -count 1 -v -timeout 1h ./e2e -args -points '$(POINTS)'
	go test -run '^TestPostgresRestartedAgainAndAgainUnderLoadLosesNothing$$' -count 1 -v -timeout 1h ./e2e -args -stops '$(STOPS)'

faults: ## cut the power, break and fill disks, and start nodes twice, as often as the variables above say; takes half an hour
	go test -run '^(TestPowerFails|TestDiskFailsUnderLoad)$$' -count 1 -v -timeout 1h ./store -args -cuts '$(CUTS)'
	go test -run '^(TestFullDiskIsSaidAndLosesNothing|TestBrokenDiskIsSaidAndLosesNothing)$$' -count 1 -v -timeout 1h ./e2e -args -fills '$(FILLS)'
	go test -run '^TestOfTwoStartsAtOnceOneGetsIt$$' -count 1 -v -parallel 10 -timeout 1h ./e2e -args -races '$(RACES)'

rig: ## let nodes meet across real routers in network namespaces, RIG_ROUNDS times each pair, and talk across bad weather; needs root, takes an hour
	go test -run '^TestTheWire$$' -count 1 -v -timeout 10m ./e2e
	go test -run '^TestTheRig$$' -count 1 -v -timeout 1h ./e2e -args -rounds '$(RIG_ROUNDS)'
	go test -run '^(TestRoaming|TestOutages|TestNewcomers|TestSeedsAreGone)$$' -count 1 -v -parallel '$(RIG_PARALLEL)' -timeout 2h ./e2e -args -whole
	go test -run '^TestAcrossTheWeather$$' -count 1 -v -parallel '$(RIG_PARALLEL)' -timeout 3h ./e2e -args -whole -rounds '$(RIG_ROUNDS)' -wire.seed '$(RIG_SEED)'

rest: ## let 50 nodes be for REST_TIME, and say what that costs each; needs root
	go test -run '^TestAtRest$$' -count 1 -v -timeout 1h ./e2e -args -rest.nodes 50 -rest.time '$(REST_TIME)'

eclipse: ## surround records with Sybils in ECLIPSE_WORLDS networks of 300 servers, and look for them; half a minute each
	go test -run '^TestRecordAmongSybils$$' -count 1 -v -timeout 3h ./node -args -worlds '$(ECLIPSE_WORLDS)'

model: ## prove what the model of sessions claims, with ProVerif, and compare with what it proved before; takes minutes
	@command -v $(PROVERIF) >/dev/null || { echo "no ProVerif here: it is at proverif.inria.fr; or set PROVERIF"; exit 1; }
	@cd chat/testdata/model && for f in *.pv; do \
		echo "$$f"; $(PROVERIF) -lib session -lib ratchet "$$f" | grep '^RESULT' || exit 1; \
	done | tee /dev/stderr | diff results.txt - && echo "as before"

bench: ## measure, each figure beside what the machine does raw; BENCH chooses
	go test -run '^$$' -bench '$(BENCH)' -timeout 30m ./...

tidy: ## complain where go.mod is not tidy, and change nothing
	go mod tidy -diff

clean: ## remove what was built
	rm -rf bin

.PHONY: help build demo test lint fuzz sessions sim attacks kill-campaign faults rig rest eclipse model bench tidy clean
