"""The learner: DeepSpeed around the policy, its update, its checkpoints, its published weights."""
