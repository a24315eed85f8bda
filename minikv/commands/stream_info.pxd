from minikv.dispatch.client cimport Client
