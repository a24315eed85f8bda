from minikv.commands.client cimport Client
