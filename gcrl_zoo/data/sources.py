def open_store(dataset):
    return dataset
