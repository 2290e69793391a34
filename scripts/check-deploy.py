"""Holds compose.yml and the built manifests to our own rules: one deployment per role, confined, probed, limited.

Usage: check-deploy.py COMPOSE MANIFESTS...
"""
import sys

import yaml

ROLES = {"org", "board", "agent", "approval", "activity", "gateway-bridge", "edge"}
wrong = []


def want(condition, text):
    if not condition:
        wrong.append(text)


def manifests(path):
    with open(path, encoding="utf-8") as file:
        documents = [d for d in yaml.safe_load_all(file) if d]
    kinds = {}
    for document in documents:
        kinds.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    deployments = kinds.get("Deployment", {})
    want(set(deployments) == ROLES, f"{path}: deployments are {sorted(deployments)}, not one per role")
    for role, deployment in deployments.items():
        at = f"{path}: {role}"
        spec = deployment["spec"]
        template = spec["template"]
        pod = template["spec"]
        labels = template["metadata"]["labels"]
        want(spec["selector"]["matchLabels"].items() <= labels.items(), f"{at}: the selector does not match its pods")
        want(pod["securityContext"].get("runAsNonRoot") is True, f"{at}: may run as root")
        want(pod.get("automountServiceAccountToken") is False, f"{at}: carries a service account's token")
        main = [c for c in pod["containers"] if c["name"] == "mission-control"]
        want(len(main) == 1 and main[0]["args"] == ["serve", role], f"{at}: does not run `serve {role}`")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            want(probe in main[0], f"{at}: has no {probe}")
        kind = "httpGet" if role == "edge" else "grpc"
        want(kind in main[0]["readinessProbe"], f"{at}: readiness is not asked by {kind}")
        want([c["args"] for c in pod["initContainers"]] == [["migrate"]], f"{at}: does not migrate before it starts")
        for container in pod["containers"] + pod["initContainers"]:
            name = f"{at}/{container['name']}"
            security = container["securityContext"]
            want(security.get("readOnlyRootFilesystem") is True, f"{name}: its root is writable")
            want(security.get("allowPrivilegeEscalation") is False, f"{name}: may gain privileges")
            want(security.get("capabilities", {}).get("drop") == ["ALL"], f"{name}: keeps capabilities")
            limits = container["resources"]["limits"]
            want({"cpu", "memory"} <= set(limits), f"{name}: has no limits")
            for variable in container.get("env", []):
                secret = any(word in variable["name"] for word in ("TOKEN", "SECRET", "PASSWORD", "_URL"))
                want(not secret or "valueFrom" in variable, f"{name}: {variable['name']} is written in the manifest")
        service = kinds.get("Service", {}).get(role)
        want(service is not None, f"{at}: has no service")
        if service:
            want(service["spec"]["selector"].items() <= labels.items(), f"{at}: the service does not select its pods")
            ports = {p["name"] for p in main[0]["ports"]}
            want({p["targetPort"] for p in service["spec"]["ports"]} <= ports, f"{at}: the service names an unknown port")
        if role == "gateway-bridge":
            names = {variable["name"] for variable in main[0].get("env", [])}
            want("GRPC_ADVERTISE" in names, f"{at}: its replicas cannot reach each other")
    for name, budget in kinds.get("PodDisruptionBudget", {}).items():
        chosen = budget["spec"]["selector"]["matchLabels"]
        replicas = [d["spec"]["replicas"] for d in deployments.values()
                    if chosen.items() <= d["spec"]["template"]["metadata"]["labels"].items()]
        want(len(replicas) == 1 and replicas[0] > 1, f"{path}: the budget {name} blocks every drain, or selects nothing")


def compose(path):
    with open(path, encoding="utf-8") as file:
        document = yaml.safe_load(file)
    services = document["services"]
    want(ROLES <= set(services), f"{path}: lacks {sorted(ROLES - set(services))}")
    for name, service in services.items():
        at = f"{path}: {name}"
        for other, how in (service.get("depends_on") or {}).items():
            want(other in services, f"{at}: depends on {other}, which is not there")
            if how["condition"] == "service_healthy":
                want("healthcheck" in services[other], f"{at}: waits for the health of {other}, which shows none")
        for network in service.get("networks", []):
            want(network in document["networks"], f"{at}: unknown network {network}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            want(source.startswith("./") or source in document["volumes"], f"{at}: unknown volume {source}")
        if name in ROLES:
            want(service["command"] == ["serve", name], f"{at}: does not run `serve {name}`")
            want(service.get("read_only") is True and service.get("cap_drop") == ["ALL"], f"{at}: is not confined")
            for key, value in service["environment"].items():
                if any(word in key for word in ("TOKEN", "SECRET", "DATABASE_URL", "AMQP_URL")):
                    want("${" in value and ":?" in value, f"{at}: {key} is not asked from the user")


compose(sys.argv[1])
for argument in sys.argv[2:]:
    manifests(argument)
for line in wrong:
    print(f"error: {line}", file=sys.stderr)
sys.exit(1 if wrong else 0)
