// What mongosh does for load.sh, check.sh and undo.sh; the word comes in TRANSHIP_COMMAND.
const name = @NAME@;
const index = @INDEX@;
const database = connect(process.env.MONGODB_URI);
const collection = database.getCollection(name);
switch (process.env.TRANSHIP_COMMAND) {
  case "is_there":
    print(database.getCollectionInfos({ name }).length > 0 ? "yes" : "no");
    break;
  case "create":
    database.createCollection(name);
    print("made");
    break;
  case "index":
    if (index.definition.fields.length > 0) collection.createSearchIndex(index.name, index.type, index.definition);
    print("made");
    break;
  case "count":
    print(String(collection.countDocuments({})));
    break;
  case "remove":
    collection.drop();
    print("dropped");
    break;
}
