"""What all wings share of fitting: stages that resume, optimisers and schedules, logs."""
