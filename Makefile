# Words that some are used to, as the commands that they stand for. What else there is: npm run.
IMAGE ?= service-director:dev
COMPOSE = docker compose --file deployments/compose.yaml

.PHONY: help dev-orchestrator docker-build docker-up docker-down test

help: ## say this
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

dev-orchestrator: ## a director from its sources, on a local cloud of its own
	npm run dev

docker-build: ## the image of the director, called IMAGE
	docker build --tag $(IMAGE) .

docker-up: ## the local cloud and a director on it, in containers
	$(COMPOSE) up --build --detach

docker-down: ## end them; their volumes stay
	$(COMPOSE) down

test: ## run every check and every test
	npm test
