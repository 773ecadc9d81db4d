"""What a team edits: the playbook model, its loader, its JSON schema and the default plan_c.yaml."""
